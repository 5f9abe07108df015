/* qverify audit --repair: the repaired net, its own proof, and what changes on given samples. */
#ifndef QV_CLI_REPAIR_H
#define QV_CLI_REPAIR_H

#include "analysis/repair.h"
#include "cli/cli.h"
#include "cli/ovcheck.h"
#include "cli/samples.h"

typedef struct {
  const char *path;
  qv_repair_way way; /* as asked              */
  cli_model m;     /* the repaired net        */
  qv_repair fix;
  qv_ovcheck o;    /* its proof, no search    */
  size_t samples;  /* 0 = nothing was given   */
  cli_difference audited, repaired; /* against the given weights without narrow stages */
} cli_repair;

/* Load the model again with `load`, repair it, prove and (unless --no-check) have the proof checked, write it to `path`, run the
 * samples of --input, or else of --calibrate. *out must be {0}; cli_repair_clear in every case. Returns 0, or the exit code after a message. */
typedef int (*cli_load_again)(cli_model *m, void *ctx);
int cli_repair_run(cli_repair *out, const cli_cmd *cmd, const cli_val *val, const qv_net *audited, const qv_property *prop,
                   const char *path, qv_repair_way way, cli_load_again load, void *ctx, qv_err *err);
void cli_repair_clear(cli_repair *r);

void cli_repair_text(qv_buf *out, const cli_repair *r, qv_arena *a);

#endif
