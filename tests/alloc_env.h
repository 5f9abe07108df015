/* For the tests of allocation: the checker as a process, tables of published data, random tables, and the truth about a small table
 * by enumeration, from the table's own rational numbers. None of it uses the solver. */
#ifndef QV_TESTS_ALLOC_ENV_H
#define QV_TESTS_ALLOC_ENV_H

#include <stdio.h>

#include "ilp/alloc.h"
#include "ir/base/rng.h"
#include "tests/checker_run.h"

/* ---- the checker ---------------------------------------------------------------------------------------------------- */

/* Exit code of `qverify-check alloc` on two texts, -1 for a crash; what it printed goes to text. Needs cr_open. */
int ae_check(const qv_buf *qap, const qv_buf *qva, char text[CR_TEXT]);
/* Accepted, with `line` before "s CHECKED"? Prints what was said if not. */
bool ae_accepts(const qv_buf *qap, const qv_buf *qva, const char *line);
/* Accepts the certificate of a result for what the result says. */
bool ae_accepts_result(const qv_alloc *p, const qv_alloc_result *r);
bool ae_accepts_front(const qv_alloc *p, const qv_alloc_front *f);

/* ---- tables --------------------------------------------------------------------------------------------------------- */

/* $QV_DATA/alloc/NAME as text, or false with a loud line. */
bool ae_data(qv_buf *out, const char *name);
/* The HAWQ-V3 file as a table: rows size, bops, latency; loss(8 bit) = 0. */
void ae_hawq_table(qv_buf *out, const qv_buf *hawq);
/* Random table text: up to `groups` groups with up to 4 candidates; couplings: links, pins, precisions, conversions, pairs. */
void ae_random_table(qv_buf *out, qv_rng *r, uint32_t groups, uint32_t rows, bool couplings);
/* Larger table without couplings, shaped like layers of a net. */
void ae_layer_table(qv_buf *out, qv_rng *r, uint32_t groups, uint32_t cands, uint32_t rows);

/* A limit as on the command line, printf-like; the table's problem, the caller's to free. Both fail the test where that cannot be. */
void ae_set_limit(qv_atable *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
qv_alloc *ae_problem(const qv_atable *t);

/* ---- truth ---------------------------------------------------------------------------------------------------------- */

/* Every assignment that the table allows, without its limits: values of loss and costs. */
typedef struct {
  uint32_t n, columns;
  mpq_t *v; /* [n * columns] */
} ae_truth;

/* False if there are more than `max` combinations. */
bool ae_truth_run(ae_truth *out, const qv_atable *t, uint32_t max);
void ae_truth_clear(ae_truth *t);

#endif
