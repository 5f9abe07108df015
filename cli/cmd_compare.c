/* qverify compare: what published allocation methods make of a table, beside the certified optimum. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/alloc_report.h"
#include "cli/figure.h"
#include "cli/phase3.h"
#include "cli/realized.h"
#include "ilp/greedy.h"

#define MAX_LABELS 8u
#define CURVE 40u /* budgets of the figure */

/* A method that chooses by a loss of its own, where the table has it; all are judged by the table's. */
typedef struct {
  const char *name, *metric;
  qv_greedy method;
  bool there;
  cli_alloc a; /* the same problem with that loss */
} own_loss;

enum { OWN_EAGL, OWN_HAWQ, OWN_ALPS, OWNS, METHODS = QV_GREEDY_N + 1 }; /* alps comes after the others, and only with gains */

/* One method's answers over a grid of budgets. */
typedef struct {
  uint32_t asked, found, optimal;
  double sum, most; /* gap in percent, over those found */
} grid;

typedef struct {
  const cli_cmd *cmd;
  const cli_val *val;
  cli_alloc a;
  cli_allocnet net;          /* where the operand is a float network */
  cli_realized_set realized; /* then: what became of the choices */
  own_loss own[OWNS];
  cli_phase3 phase3;
  uint32_t cost; /* whose limit is varied */
  bool check, all_checked, all_known;
  const char *label[MAX_LABELS]; /* precisions, for uniform */
  uint32_t n_labels;
  cli_alloc_row_out *out;
  uint32_t n_out, cap_out;
  qv_alloc_front front;
  cli_alloc_report report;
  qv_arena arena;
} job;

static bool full(job *j) { return j->n_out == j->cap_out; }

/* Remember a result; the choice is copied (NULL: none). */
static qv_status add(job *j, const char *budget, const char *method, const uint32_t *choice, bool optimum, qv_err *err) {
  if (full(j)) {
    uint32_t cap = j->cap_out == 0 ? 64 : 2 * j->cap_out;
    cli_alloc_row_out *p = realloc(j->out, cap * sizeof *p);
    if (p == NULL) return QV_FAIL(err, QV_E_NOMEM, "out of memory");
    j->out = p;
    j->cap_out = cap;
  }
  uint32_t *copy = NULL, n = j->a.p->n_groups;
  if (choice != NULL) {
    if ((copy = QV_NEW(&j->arena, n, uint32_t)) == NULL) return QV_FAIL(err, QV_E_NOMEM, "out of memory");
    memcpy(copy, choice, n * sizeof *copy);
  }
  const cli_realized *net = NULL;
  if (j->net.used && copy != NULL) {
    qv_status st = cli_realize(&net, &j->realized, &j->net, j->a.p, copy, err);
    if (st != QV_OK) return st;
  }
  j->out[j->n_out++] = (cli_alloc_row_out){.method = method,
                                           .budget = budget,
                                           .choice = copy,
                                           .feasible = copy != NULL && qv_alloc_feasible(j->a.p, copy),
                                           .optimum = optimum,
                                           .net = net};
  return QV_OK;
}

static void find_labels(job *j) {
  const qv_alloc *p = j->a.p;
  bool weights = false;
  qv_bits b;
  for (uint32_t c = 0; c < p->n_cands; c++) weights = weights || (qv_cand_read(&b, NULL, p->cand[c].label) && b.w > 0);
  for (uint32_t c = 0; c < p->n_cands && j->n_labels < MAX_LABELS; c++) {
    uint32_t k = 0;
    while (k < j->n_labels && strcmp(j->label[k], p->cand[c].label) != 0) k++;
    if (weights && qv_cand_read(&b, NULL, p->cand[c].label) && b.w == 0) continue; /* tensors that no weights read follow the others */
    if (k == j->n_labels && p->cand[c].label[0] != 0)
      j->label[j->n_labels++] = qv_arena_str(&j->arena, p->cand[c].label, strlen(p->cand[c].label));
  }
  uint32_t n = 0;
  for (uint32_t k = 0; k < j->n_labels; k++)
    if (j->label[k] != NULL) j->label[n++] = j->label[k];
  j->n_labels = n;
}

/* Every group at one precision. "W4A4" is "A4" where a network has no weights. */
static bool all_at(const job *j, uint32_t *x, const char *label) {
  const qv_alloc *p = j->a.p;
  qv_bits b;
  const char *brief = qv_cand_read(&b, NULL, label) && b.w > 0 ? strchr(label, 'A') : NULL;
  if (!qv_greedy_uniform(x, p, label)) return false;
  for (uint32_t g = 0; brief != NULL && g < p->n_groups; g++)
    for (uint32_t c = 0; c < p->group[g].n; c++)
      if (strcmp(p->cand[p->group[g].first + c].label, brief) == 0) x[g] = c;
  return true;
}

static qv_status set_budget(job *j, const char *budget, qv_err *err) {
  const char *s = qv_arena_printf(&j->arena, "%s=%s", j->a.p->cost[j->cost].name, budget);
  if (s == NULL) return QV_FAIL(err, QV_E_NOMEM, "out of memory");
  qv_status st = qv_atable_set_limit(&j->a.table, s, err);
  if (st == QV_OK) st = cli_alloc_rebuild(&j->a, err);
  for (int i = 0; st == QV_OK && i < OWNS; i++) {
    if (!j->own[i].there) continue;
    st = qv_atable_set_limit(&j->own[i].a.table, s, err);
    if (st == QV_OK) st = cli_alloc_rebuild(&j->own[i].a, err);
  }
  return st;
}

/* ---- methods with losses of their own --------------------------------------------------------------------------------------------- */

static qv_status load_own(own_loss *o, const qv_buf *text, const cli_val *limits, qv_err *err) {
  qv_err none = {0};
  qv_status st = qv_atable_read(&o->a.table, (const char *)text->p, text->n, o->metric, &none);
  if (st == QV_E_ARG) return QV_OK; /* the table has no such loss */
  if (st != QV_OK) return QV_FAIL(err, st, "%s", none.msg);
  for (uint32_t i = 0; i < limits->n; i++) QV_TRY(qv_atable_set_limit(&o->a.table, limits->v[i], err));
  QV_TRY(cli_alloc_rebuild(&o->a, err));
  o->there = true;
done:
  return st;
}

static qv_status load_owns(job *j, const char *path, qv_err *err) {
  static const own_loss all[OWNS] = {[OWN_EAGL] = {.name = "eagl", .metric = "eagl", .method = QV_GREEDY_EAGL},
                                     [OWN_HAWQ] = {.name = "hawq-v3", .metric = "hessian", .method = QV_GREEDY_HAWQ},
                                     [OWN_ALPS] = {.name = "alps", .metric = "alps", .method = QV_GREEDY_EAGL}};
  qv_buf file = {0};
  const qv_buf *text = j->net.used ? &j->net.made.json : &file;
  qv_atable t = {0};
  qv_err none = {0};
  qv_status st = QV_OK;
  memcpy(j->own, all, sizeof all);
  if (!j->net.used) QV_TRY(qv_file_read(&file, path, (size_t)1 << 31, err));
  /* A table with one unnamed loss is read whatever name is asked for: then no method has one of its own. */
  if (qv_atable_read(&t, (const char *)text->p, text->n, "", &none) == QV_OK) qv_atable_free(&t);
  else
    for (int i = 0; i < OWNS; i++) QV_TRY(load_own(&j->own[i], text, cli_all(j->cmd, j->val, "limit"), err));
done:
  qv_buf_free(&file);
  return st;
}

static const char *method_name(unsigned m) { return m < QV_GREEDY_N ? qv_greedy_name((qv_greedy)m) : "alps"; }

/* Method m under the present limits. *tried false: it has no answer, or (alps) there are no gains. */
static qv_status run_method(job *j, unsigned m, uint32_t *x, bool *has, bool *tried, qv_err *err) {
  int own = m == QV_GREEDY_EAGL ? OWN_EAGL : m == QV_GREEDY_HAWQ ? OWN_HAWQ : m == QV_GREEDY_N ? OWN_ALPS : -1;
  *has = *tried = false;
  if (own >= 0 && j->own[own].there) return qv_greedy_run(x, has, tried, j->own[own].a.p, j->own[own].method, err);
  return m < QV_GREEDY_N ? qv_greedy_run(x, has, tried, j->a.p, (qv_greedy)m, err) : QV_OK;
}

static bool offered(const job *j, unsigned m) { return m < QV_GREEDY_N || j->own[OWN_ALPS].there; }

/* The optimum at the present limits, checked; NULL choice if infeasible or unknown. */
static qv_status optimum(job *j, qv_alloc_result *r, bool check, qv_err *err) {
  const qv_alloc_opts opts = {.no_cert = !check, .no_ties = !check};
  cli_check_result said;
  qv_status st;
  QV_TRY(qv_alloc_solve(r, j->a.p, &opts, err));
  if (r->state == QV_ALLOC_UNKNOWN) j->all_known = false;
  else if (check) {
    QV_TRY(cli_alloc_check(&said, &j->a.qap, &r->cert, cli_alloc_line(&j->arena, j->a.p, r), err));
    j->all_checked = j->all_checked && said == CLI_CHECK_ACCEPTED;
  }
done:
  return st;
}

/* ---- one budget ------------------------------------------------------------------------------------------------------------------- */

static qv_status one_budget(job *j, const char *budget, qv_err *err) {
  qv_alloc_result r = {0};
  qv_status st;
  uint32_t *x = NULL;
  QV_TRY(set_budget(j, budget, err));
  QV_TRY(optimum(j, &r, j->check, err));
  QV_TRY(add(j, budget, r.state == QV_ALLOC_UNKNOWN ? "best found" : "optimum", r.has_choice ? r.choice : NULL, r.state == QV_ALLOC_OPTIMAL,
             err));
  if ((x = calloc(j->a.p->n_groups, sizeof *x)) == NULL) {
    st = QV_FAIL(err, QV_E_NOMEM, "out of memory");
    goto done;
  }
  for (unsigned m = 0; m < METHODS; m++) {
    bool has, tried;
    if (!offered(j, m)) continue;
    QV_TRY(run_method(j, m, x, &has, &tried, err));
    QV_TRY(add(j, budget, method_name(m), tried ? x : NULL, false, err));
    if (m != QV_GREEDY_AMP || j->phase3.alphas == NULL || !has) continue;
    QV_TRY(cli_phase3_run(x, NULL, &j->phase3, &j->a, &j->net, NULL, j->check, err));
    QV_TRY(add(j, budget, "amp-phase3", x, false, err));
  }
  for (uint32_t k = 0; k < j->n_labels; k++)
    if (all_at(j, x, j->label[k])) QV_TRY(add(j, budget, qv_arena_printf(&j->arena, "uniform %s", j->label[k]), x, false, err));
done:
  qv_alloc_result_clear(&r);
  free(x);
  return st;
}

static double loss_of(const qv_alloc *p, const uint32_t *choice, mpq_t v) {
  qv_alloc_real(v, p, choice, 0);
  return mpq_get_d(v);
}

/* "12.3" percent above the optimum, "0", or "-". */
static void gap_cell(cli_table *t, mpq_srcptr best, mpq_srcptr v, bool known) {
  if (!known) cli_cell(t, "-");
  else if (mpq_equal(best, v)) cli_cell(t, "0");
  else if (mpq_sgn(best) <= 0) cli_cell(t, "inf");
  else cli_cell(t, "%+.2f", 100 * (mpq_get_d(v) / mpq_get_d(best) - 1));
}

/* The columns of a network: "-" where there is none. */
static void net_head(cli_table *t, const job *j) {
  if (!j->net.used) return;
  cli_col(t, j->net.f.test_label != NULL ? "accuracy %" : "as float %", true);
  cli_col(t, "acc. bits", true);
  cli_col(t, "ONNX bytes", true);
}

static void net_cells(cli_table *t, const job *j, const cli_realized *x) {
  if (!j->net.used) return;
  if (x == NULL || x->refused != NULL) {
    for (int c = 0; c < 3; c++) cli_cell(t, "-");
    return;
  }
  cli_cell(t, "%.2f", 100.0 * (double)(x->labelled ? x->right_int : x->same) / (double)x->n);
  if (x->bits > 0) cli_cell(t, "%d", x->bits);
  else cli_cell(t, "-");
  cli_cell(t, "%zu", x->bytes);
}

/* Why a network is missing, once for each reason. */
static void net_reasons(qv_buf *out, job *j, uint32_t from, uint32_t to) {
  for (uint32_t i = from; i < to; i++) {
    const cli_realized *x = j->out[i].net;
    uint32_t k = from;
    if (x == NULL || x->refused == NULL) continue;
    while (k < i && (j->out[k].net == NULL || j->out[k].net->refused == NULL || strcmp(j->out[k].net->refused, x->refused) != 0)) k++;
    if (k == i)
      qv_buf_printf(out, "  no network of %s under profile %s: %s\n", cli_safe(&j->arena, j->out[i].method), j->net.profile != NULL ? j->net.profile : "onnx-spec",
                    cli_safe(&j->arena, x->refused));
  }
}

static void budget_table(qv_buf *out, job *j, uint32_t from, uint32_t to) {
  const qv_alloc *p = j->a.p;
  cli_table t = {0};
  mpq_t best, v;
  uint32_t rows = p->n_costs < 8 ? p->n_costs : 8;
  bool known = j->out[from].optimum;
  mpq_inits(best, v, (mpq_ptr)NULL);
  if (j->out[from].choice != NULL) qv_alloc_real(best, p, j->out[from].choice, 0);
  qv_buf_printf(out, "\n%s = %s: limit %s%s\n", cli_safe(&j->arena, p->cost[j->cost].name), cli_safe(&j->arena, j->out[from].budget),
                cli_alloc_num(&j->arena, p->cost[j->cost].asked),
                known                         ? ""
                : j->out[from].choice == NULL ? ", which nothing keeps"
                                              : ", optimum not proved");
  cli_col(&t, "method", false);
  cli_col(&t, "loss", true);
  cli_col(&t, "gap %", true);
  for (uint32_t m = 0; m < rows; m++) cli_col(&t, cli_safe(&j->arena, p->cost[m].name), true);
  net_head(&t, j);
  cli_col(&t, "limits", false);
  for (uint32_t i = from; i < to; i++) {
    const cli_alloc_row_out *x = &j->out[i];
    cli_cell(&t, "%s", cli_safe(&j->arena, x->method));
    if (x->choice == NULL) {
      for (uint32_t m = 0; m < rows + 2; m++) cli_cell(&t, "-");
      net_cells(&t, j, NULL);
      cli_cell(&t, "no answer");
      continue;
    }
    qv_alloc_real(v, p, x->choice, 0);
    cli_cell(&t, "%s", cli_alloc_num(&j->arena, v));
    gap_cell(&t, best, v, known && x->feasible);
    for (uint32_t m = 0; m < rows; m++) {
      qv_alloc_cost_of(v, p, x->choice, &p->cost[m]);
      cli_cell(&t, "%s", cli_alloc_num(&j->arena, v));
    }
    net_cells(&t, j, x->net);
    cli_cell(&t, "%s", x->feasible ? "kept" : "BROKEN");
  }
  cli_table_print(out, &t);
  bool bounded = false;
  if (known && qv_lp_bound(v, &bounded, p, NULL) == QV_OK && bounded)
    qv_buf_printf(out, "  LP bound of the loss: %s\n", cli_alloc_num(&j->arena, v));
  net_reasons(out, j, from, to);
  mpq_clears(best, v, (mpq_ptr)NULL);
}

/* ---- a grid of budgets -------------------------------------------------------------------------------------------------------------- */

static void count(grid *g, mpq_srcptr best, mpq_srcptr v) {
  g->found++;
  bool same = mpq_equal(best, v);
  if (same) g->optimal++;
  double gap = same ? 0 : mpq_sgn(best) > 0 ? 100 * (mpq_get_d(v) / mpq_get_d(best) - 1) : INFINITY;
  g->sum += gap;
  if (gap > g->most) g->most = gap;
}

/* How far the linear relaxation stays below the optimum, in percent of it. */
static qv_status count_bound(job *j, grid *g, mpq_srcptr best, qv_err *err) {
  mpq_t v;
  bool known;
  mpq_init(v);
  qv_status st = qv_lp_bound(v, &known, j->a.p, err);
  g->asked++;
  if (st == QV_OK && known && mpq_sgn(best) > 0) {
    bool same = mpq_equal(v, best);
    double below = same ? 0 : 100 * (1 - mpq_get_d(v) / mpq_get_d(best));
    g->found++;
    g->optimal += same;
    g->sum += below;
    if (below > g->most) g->most = below;
  }
  mpq_clear(v);
  return st;
}

static qv_status grid_point(job *j, grid *g, qv_err *err) {
  qv_alloc_result r = {0};
  mpq_t best, v;
  qv_status st;
  uint32_t *x = calloc(j->a.p->n_groups, sizeof *x);
  mpq_inits(best, v, (mpq_ptr)NULL);
  if (x == NULL) {
    st = QV_FAIL(err, QV_E_NOMEM, "out of memory");
    goto done;
  }
  QV_TRY(optimum(j, &r, j->check, err));
  if (r.state != QV_ALLOC_OPTIMAL) goto done;
  qv_alloc_real(best, j->a.p, r.choice, 0);
  QV_TRY(count_bound(j, &g[METHODS], best, err));
  for (unsigned m = 0; m < METHODS; m++) {
    bool has, tried;
    if (!offered(j, m)) continue;
    QV_TRY(run_method(j, m, x, &has, &tried, err));
    g[m].asked++;
    if (!has) continue;
    qv_alloc_real(v, j->a.p, x, 0);
    count(&g[m], best, v);
  }
done:
  mpq_clears(best, v, (mpq_ptr)NULL);
  qv_alloc_result_clear(&r);
  free(x);
  return st;
}

static qv_status run_grid(qv_buf *out, job *j, int64_t n, qv_err *err) {
  grid g[METHODS + 1] = {{0}}; /* the last: the linear relaxation */
  cli_table t = {0};
  char budget[40];
  static const char *const head[] = {"method", "mean gap %", "largest gap %", "optimal", "limits broken or no answer"};
  qv_status st = QV_OK;
  for (int64_t i = 1; i < n; i++) {
    (void)snprintf(budget, sizeof budget, "%.6f%%range", 100.0 * (double)i / (double)n);
    QV_TRY(set_budget(j, budget, err));
    QV_TRY(grid_point(j, g, err));
  }
  qv_buf_printf(out, "\nExcess over the optimum, %s at %" PRId64 " budgets from %.4g to %.4g %% of its range:\n",
                cli_safe(&j->arena, j->a.p->cost[j->cost].name), n - 1, 100.0 / (double)n, 100.0 * (double)(n - 1) / (double)n);
  for (int c = 0; c < 5; c++) cli_col(&t, head[c], c > 0);
  for (unsigned m = 0; m < METHODS; m++) {
    if (!offered(j, m)) continue;
    cli_cell(&t, "%s", method_name(m));
    cli_cell(&t, "%.2f", g[m].found > 0 ? g[m].sum / g[m].found : NAN);
    cli_cell(&t, "%.1f", g[m].most);
    cli_cell(&t, "%" PRIu32 " of %" PRIu32, g[m].optimal, g[m].asked);
    cli_cell(&t, "%" PRIu32, g[m].asked - g[m].found);
  }
  cli_table_print(out, &t);
  const grid *lp = &g[METHODS];
  if (lp->found > 0)
    qv_buf_printf(out, "LP bound: below the optimum by %.2f %% on average, %.1f %% at most; equal at %" PRIu32 " of %" PRIu32 "\n",
                  lp->sum / lp->found, lp->most, lp->optimal, lp->asked);
done:
  return st;
}

/* ---- the front and its figure ------------------------------------------------------------------------------------------------------ */

static qv_status solve_front(job *j, qv_err *err) {
  cli_check_result said;
  qv_status st;
  QV_TRY(set_budget(j, "none", err));
  if (j->a.p->cost[j->cost].peak) return QV_OK;
  QV_TRY(qv_alloc_front_solve(&j->front, j->a.p, j->a.p->cost[j->cost].row[0], &(qv_alloc_opts){.no_cert = !j->check}, err));
  if (j->front.state == QV_ALLOC_UNKNOWN) j->all_known = false;
  else if (j->check) {
    const char *line = j->front.state == QV_ALLOC_INFEASIBLE ? "c infeasible" : qv_arena_printf(&j->arena, "c front %" PRIu32, j->front.n);
    QV_TRY(cli_alloc_check(&said, &j->a.qap, &j->front.cert, line, err));
    j->all_checked = j->all_checked && said == CLI_CHECK_ACCEPTED;
  }
done:
  return st;
}

static void front_line(qv_buf *out, job *j) {
  uint32_t hull = 0;
  for (uint32_t i = 0; i < j->front.n; i++) hull += j->front.point[i].hull;
  if (j->front.state == QV_ALLOC_OPTIMAL)
    qv_buf_printf(out, "\nFront of loss and %s: %" PRIu32 " points, %" PRIu32 " of them on the hull\n",
                  cli_safe(&j->arena, j->a.p->cost[j->cost].name), j->front.n, hull);
  else if (j->a.p->cost[j->cost].peak) qv_buf_str(out, "\nNo front: that is drawn for costs that are sums\n");
  else qv_buf_str(out, "\nNo front: nothing is feasible, or the search was ended by its limits\n");
}

/* The cost that is varied, as a percentage of its reference where there is one. */
static double share_of(const qv_alloc *p, uint32_t cost, const uint32_t *choice, mpq_t v) {
  qv_alloc_cost_of(v, p, choice, &p->cost[cost]);
  double x = mpq_get_d(v);
  return mpq_sgn(p->cost[cost].full) > 0 ? 100 * x / mpq_get_d(p->cost[cost].full) : x;
}

static qv_status method_points(job *j, cli_fig_series *s, cli_fig_point *pt, unsigned m, uint32_t *x, mpq_t v, qv_err *err) {
  char budget[40];
  qv_status st = QV_OK;
  *s = (cli_fig_series){.name = method_name(m), .point = pt};
  for (uint32_t i = 1; i < CURVE; i++) {
    bool has, tried;
    (void)snprintf(budget, sizeof budget, "%.3f%%range", 100.0 * i / CURVE);
    QV_TRY(set_budget(j, budget, err));
    QV_TRY(run_method(j, m, x, &has, &tried, err));
    if (!has) continue;
    cli_fig_point *p = &pt[s->n++];
    p->x = share_of(j->a.p, j->cost, x, v);
    p->y = loss_of(j->a.p, x, v);
    p->note = qv_arena_printf(&j->arena, "%s at %s: %.6g, loss %.6g", s->name, budget, p->x, p->y);
  }
done:
  return st;
}

static qv_status figure(job *j, const char *path, const qv_buf *text, qv_err *err) {
  cli_fig_series s[1 + METHODS + 1] = {{0}};
  cli_fig_point *front = QV_NEW(&j->arena, j->front.n, cli_fig_point), *pts = QV_NEW(&j->arena, (size_t)METHODS * CURVE, cli_fig_point),
                *uniform = QV_NEW(&j->arena, MAX_LABELS, cli_fig_point);
  uint32_t *x = QV_NEW(&j->arena, j->a.p->n_groups, uint32_t);
  qv_buf out = {0};
  mpq_t v;
  qv_status st = QV_OK;
  mpq_init(v);
  if (front == NULL || pts == NULL || uniform == NULL || x == NULL) {
    st = QV_FAIL(err, QV_E_NOMEM, "out of memory");
    goto done;
  }
  s[0] = (cli_fig_series){.name = "optimum (filled: hull)", .line = true, .n = j->front.n, .point = front};
  for (uint32_t i = 0; i < j->front.n; i++) {
    const uint32_t *c = j->front.point[i].choice;
    front[i] = (cli_fig_point){.x = share_of(j->a.p, j->cost, c, v), .y = loss_of(j->a.p, c, v), .mark = j->front.point[i].hull};
    front[i].note = qv_arena_printf(&j->arena, "optimum: %.6g, loss %.6g", front[i].x, front[i].y);
  }
  uint32_t n_series = 1;
  for (unsigned m = 0; m < METHODS; m++) {
    if (!offered(j, m)) continue;
    QV_TRY(method_points(j, &s[n_series], pts + (size_t)m * CURVE, m, x, v, err));
    n_series++;
  }
  QV_TRY(set_budget(j, "none", err));
  s[n_series] = (cli_fig_series){.name = "uniform", .point = uniform};
  for (uint32_t k = 0; k < j->n_labels; k++) {
    if (!all_at(j, x, j->label[k]) || !qv_alloc_feasible(j->a.p, x)) continue;
    uniform[s[n_series].n++] = (cli_fig_point){.x = share_of(j->a.p, j->cost, x, v), .y = loss_of(j->a.p, x, v), .mark = true,
                                                      .note = qv_arena_printf(&j->arena, "uniform %s", j->label[k])};
  }
  bool percent = mpq_sgn(j->a.p->cost[j->cost].full) > 0;
  const cli_figure f = {.title = qv_arena_printf(&j->arena, "%s: loss against %s", j->a.table.name[0] != 0 ? j->a.table.name : j->a.path,
                                                 j->a.p->cost[j->cost].name),
                        .x_name = percent ? qv_arena_printf(&j->arena, "%s, percent of the reference", j->a.p->cost[j->cost].name)
                                          : j->a.p->cost[j->cost].name,
                        .y_name = "loss (square-root scale)",
                        .n = n_series + 1,
                        .series = s};
  if (f.title == NULL || f.x_name == NULL) {
    st = QV_FAIL(err, QV_E_NOMEM, "out of memory");
    goto done;
  }
  size_t n = strlen(path);
  char *below = qv_arena_str(&j->arena, (const char *)text->p, text->n);
  if (n > 4 && strcmp(path + n - 4, ".svg") == 0) cli_figure_svg(&out, &f, below != NULL && j->net.used ? below : "");
  else cli_figure_html(&out, &f, below != NULL ? below : "");
  st = cli_emit(path, &out, err);
done:
  mpq_clear(v);
  qv_buf_free(&out);
  return st;
}

/* ---- the command --------------------------------------------------------------------------------------------------------------------- */

static void net_line(qv_buf *out, const job *j) {
  const cli_floatnet *f = &j->net.f;
  size_t right = 0;
  if (!j->net.used) return;
  qv_buf_printf(out, "Each choice quantized, exported, read back under profile %s and executed on %zu samples",
                j->net.profile != NULL ? j->net.profile : "ort-vnni (onnx-spec where that refuses)", f->n_test);
  if (f->test_label != NULL) {
    for (size_t i = 0; i < f->n_test; i++) right += (int64_t)f->test_class[i] == f->test_label[i];
    qv_buf_printf(out, "; accuracy of the float network %.2f %%\n", 100.0 * (double)right / (double)f->n_test);
  } else qv_buf_str(out, "; as float: same class as the float network\n");
}

static int compare(job *j, const char *path, qv_err *err) {
  static const cli_val standard = {.n = 3, .v = {"75%", "50%", "35%"}};
  const char *cost = cli_get(j->cmd, j->val, "cost"), *fig = cli_get(j->cmd, j->val, "figure");
  const cli_val *at = cli_all(j->cmd, j->val, "at");
  int64_t n_grid;
  qv_buf out = {0};
  qv_status st;
  if (!cli_get_int(&n_grid, j->cmd, j->val, "grid", 2, 100000, 0)) return QV_EXIT_USAGE;
  if (!cli_phase3_read(&j->phase3, j->cmd, j->val)) return QV_EXIT_USAGE;
  int rc = cli_allocnet_load(&j->net, &j->a, j->cmd, j->val, path, err);
  if (rc != 0) return rc;
  j->report.a = &j->a;
  if (j->a.p->n_rows == 0) return cli_usage(j->cmd, "the table has no costs to compare at");
  if (cost != NULL && (j->cost = cli_alloc_cost(&j->a, cost)) == QV_ATABLE_NONE) return cli_usage(j->cmd, "the table has no cost '%.80s'", cost);
  if (at->n == 0 && n_grid == 0) at = &standard;
  QV_TRY(load_owns(j, path, err));
  find_labels(j);
  qv_buf_printf(&out, "%s: %" PRIu32 " groups, %" PRIu32 " candidates; methods compared on %s\n", cli_safe(&j->arena, path),
                j->a.p->n_members, j->a.p->n_cands, cli_safe(&j->arena, j->a.p->cost[j->cost].name));
  net_line(&out, j);
  for (uint32_t i = 0; i < at->n; i++) {
    uint32_t from = j->n_out;
    QV_TRY(one_budget(j, at->v[i], err));
    budget_table(&out, j, from, j->n_out);
  }
  if (n_grid > 0) QV_TRY(run_grid(&out, j, n_grid, err));
  QV_TRY(solve_front(j, err));
  front_line(&out, j);
  bool proved = j->check && j->all_checked && j->all_known;
  qv_buf_printf(&out, "\n%s\n", proved ? j->a.p->cost[j->cost].peak ? "Every optimum: certificate accepted by qverify-check"
                                         : "Every optimum and the front: certificate accepted by qverify-check"
                                : !j->check ? "Optima and front are not checked: --no-check"
                                            : "Not everything is proved: see above, or qverify-check cannot judge it");
  if (fig != NULL) QV_TRY(figure(j, fig, &out, err));
  if (j->report.path == NULL || strcmp(j->report.path, "-") != 0) QV_TRY(cli_emit("-", &out, err));
  j->report.front = j->front.n > 0 ? &j->front : NULL;
  j->report.front_row = j->a.p->cost[j->cost].row[0];
  j->report.row = j->out;
  j->report.n_rows = j->n_out;
  j->report.state = proved ? QV_ALLOC_OPTIMAL : QV_ALLOC_UNKNOWN;
  j->report.checked = proved ? CLI_CHECK_ACCEPTED : CLI_CHECK_NOT_RUN;
  j->report.complete = true;
done:
  qv_buf_free(&out);
  if (st == QV_E_ARG) return cli_usage(j->cmd, "%s", err->msg);
  if (st != QV_OK) return cli_fail(st, NULL, err);
  const qv_tally tally = {.selected = 1, .verified = j->report.state == QV_ALLOC_OPTIMAL};
  return qv_cli_exit(QV_OK, &tally);
}

static int run(const cli_cmd *cmd, const char *const *operand, const cli_val *val) {
  double start = cli_now();
  qv_err err = {0}, report_err = {0};
  job *j = calloc(1, sizeof *j);
  if (j == NULL) return cli_fail(QV_FAIL(&err, QV_E_NOMEM, "out of memory"), NULL, &err);
  j->cmd = cmd;
  j->val = val;
  j->check = cli_get(cmd, val, "no-check") == NULL;
  j->all_checked = j->all_known = true;
  j->report =
      (cli_alloc_report){.path = cli_get(cmd, val, "json"), .command = "compare", .method = "all", .table_path = operand[0], .err = &err};
  qv_status st = cli_alloc_report_begin(&j->report, &report_err);
  int rc;
  if (st != QV_OK) rc = cli_fail(st, j->report.path, &report_err);
  else {
    rc = j->report.exit_code = compare(j, operand[0], &err);
    j->report.seconds = cli_now() - start;
    st = cli_alloc_report_write(&j->report, &report_err);
    if (st != QV_OK) rc = cli_fail(st, j->report.path, &report_err);
  }
  qv_alloc_front_clear(&j->front);
  cli_alloc_free(&j->a);
  for (int i = 0; i < OWNS; i++) cli_alloc_free(&j->own[i].a);
  free(j->out);
  cli_realized_clear(&j->realized);
  cli_allocnet_free(&j->net);
  qv_arena_clear(&j->arena);
  free(j);
  return rc;
}

static const cli_opt opts[] = {
    {"cost", 'c', "NAME", false, "the cost whose limit is varied; default: the table's first"},
    {"at", 'a', "VALUE", true, "a limit for it: 1.5e6, 60% or 25%range; default: 75%, 50% and 35%"},
    {"grid", 'g', "N", false, "mean and largest gap of every method over the N-1 budgets 1/N, 2/N, .. of the range"},
    {"limit", 'l', "NAME=VALUE", true, "limits on other costs, as in 'qverify allocate'"},
    {"metric", 'm', "NAME", false, "which loss, where the table has several"},
    {"figure", 'f', "FILE", false, "the front with every method's points, as .html or .svg"},
    {"json", 'j', "FILE", false, "write a report (docs/allocation.md section 8); '-' writes it to standard output in place of the text"},
    {"no-check", 0, NULL, false, "do not run the independent checker; nothing is claimed then (exit 5)"},
    CLI_PHASE3_OPTS,
    CLI_ALLOCNET_OPTS,
    {.name = NULL},
};

const cli_cmd cli_compare = {
    .name = "compare",
    .operands = "TABLE|FLOAT",
    .n_operands = 1,
    .summary = "published bit-width allocation methods beside the certified optimum of a table",
    .detail =
        "For each budget: AMP, NNCF's shape, ratio greedy, Rusci et al., EAGL's and ALPS's knapsack, HAWQ-V3 and uniform widths on the "
        "same "
        "candidates and the same exact objective, with their gaps to the proved optimum (docs/allocation.md section 6). FLOAT is a float "
        "ONNX or TFLite network "
        "(docs/quantize.md): the table is measured on it, and each choice is built and executed, with its accuracy, widest accumulator and "
        "file size beside it. Exit codes: 0 all "
        "optima proved and checked, 5 not.",
    .example = "qverify compare table.json --at 50% --figure front.html",
    .opt = opts,
    .run = run,
};
