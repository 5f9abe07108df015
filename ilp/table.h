/* An allocation table (docs/allocation.md section 1): groups with candidates, exact rational losses and costs, limits, couplings.
 * Table in, problem out: nothing here knows about nets. Whoever makes tables in memory writes their JSON text. */
#ifndef QV_ILP_TABLE_H
#define QV_ILP_TABLE_H

#include <gmp.h>
#include <stdbool.h>

#include "ir/base/arena.h"

#define QV_ATABLE_NONE UINT32_MAX
#define QV_ATABLE_MAX_ROWS 1024u
#define QV_ATABLE_MAX_GROUPS 4096u
#define QV_ATABLE_MAX_CANDS 65536u /* in all groups together */

typedef struct {
  const char *name;
  const char *label; /* precision; "" counts as none */
  mpq_t *val;        /* [1 + rows]: loss, then the costs */
} qv_atable_cand;

typedef struct {
  const char *name;
  uint32_t n; /* >= 1 */
  qv_atable_cand *cand;
  uint32_t pin; /* candidate, or QV_ATABLE_NONE */
} qv_atable_group;

/* A pair term: g's candidate a together with h's candidate b; a = b = QV_ATABLE_NONE: any two with different labels. */
typedef struct {
  uint32_t g, h, a, b; /* g != h */
  bool forbidden;
  mpq_t *val; /* [1 + rows] */
} qv_atable_pair;

/* A value goes from group to group: no cost, but what counts as a conversion in AMP's phase 3 (ilp/convert.h). */
typedef struct {
  uint32_t g, h;  /* g != h */
  mpq_t *weight;  /* [1], >= 0 */
} qv_atable_edge;

typedef struct {
  uint32_t n;
  uint32_t *group;
} qv_atable_link;

typedef enum { QV_LIMIT_NONE = 0, QV_LIMIT_VALUE, QV_LIMIT_PERCENT, QV_LIMIT_RANGE } qv_limit_kind;

typedef struct {
  qv_limit_kind kind;
  mpq_ptr v; /* the limit, or the percentage */
} qv_atable_limit;

/* A cost that is the largest of several rows, such as the memory of the worst step of a schedule. Its limit is set on every row. */
typedef struct {
  const char *name;
  uint32_t n, *row; /* n >= 1 */
} qv_atable_peak;

typedef struct {
  const char *name;
  uint32_t n_rows, n_groups, n_links, n_pairs, n_edges, n_peaks;
  const char **row;      /* names of the costs */
  qv_atable_limit *limit; /* [n_rows]; equal for all rows of a peak: percentages mean the peak's */
  uint32_t *peak_of;      /* [n_rows] the peak that a row belongs to, or QV_ATABLE_NONE */
  qv_atable_peak *peak;
  qv_atable_group *group;
  qv_atable_link *link;
  qv_atable_pair *pair;
  qv_atable_edge *edge;
  uint32_t at_most;      /* precisions; 0 = no rule */
  const char *reference; /* candidate name that 100 % means, or NULL */
  const char *metric;    /* loss that was taken, or NULL where there is only one */
  qv_arena arena;        /* everything but the numbers' limbs */
  mpq_t **owned;         /* every array of numbers, for _free */
  size_t *owned_n, n_owned, cap_owned;
} qv_atable;

/* Read a table. metric: which of several losses, NULL = the table's own choice. *out must be {0}; on failure it is {0} again.
 * Errors: QV_E_PARSE (names the member), QV_E_LIMIT, QV_E_NOMEM; QV_E_ARG for an unknown metric. */
QV_NODISCARD qv_status qv_atable_read(qv_atable *out, const char *text, size_t n, const char *metric, qv_err *err);
void qv_atable_free(qv_atable *t);

/* A limit as on the command line: "size=60%", "size=25%range", "bops=1.5e9", "bops=none", of a cost or a peak. QV_E_ARG: no such cost,
 * not a number. */
QV_NODISCARD qv_status qv_atable_set_limit(qv_atable *t, const char *text, qv_err *err);

/* Exact value of -12.5e-3 or -7/3. False: not of that form, exponent beyond 400, more than 1000 characters. */
QV_NODISCARD bool qv_atable_number(mpq_t out, const char *s);

#endif
