/* Latency tables (qverify-latency/1) and gain tables (qverify-gains/1), docs/quantize.md sections 7 and 8. */
#ifndef QV_CLI_LATENCY_H
#define QV_CLI_LATENCY_H

#include "quant/cost.h"

typedef struct {
  qv_times times;
  const char *cpu, *isa; /* as the table says, or "" */
  qv_arena arena;
} cli_latency;

/* Errors: QV_E_IO, QV_E_PARSE (names the member), QV_E_NOMEM. cli_latency_free in every case. */
QV_NODISCARD qv_status cli_latency_read(cli_latency *l, const char *path, qv_err *err);
void cli_latency_free(cli_latency *l);

/* gain[k] of every node with weights of g: each must be in the table. *gain is in the arena. */
QV_NODISCARD qv_status cli_gains_read(const double **gain, qv_arena *a, const char *path, const qv_fgraph *g, qv_err *err);

#endif
