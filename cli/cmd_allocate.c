/* qverify allocate: the best candidate for every group under limits, with proof. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/alloc_report.h"
#include "cli/allocnet.h"
#include "cli/phase3.h"
#include "cli/require.h"
#include "ilp/greedy.h"

#define MAX_HINTS 64u
#define MAX_CUTS 64u /* allocations that a requirement may exclude */

typedef struct {
  const cli_cmd *cmd;
  const cli_val *val;
  cli_alloc a;
  cli_allocnet net;      /* where the operand is a float network */
  cli_quantized quantized; /* then: the chosen network */
  qv_alloc_result result;
  qv_alloc_front front;
  bool draw_front, greedy;
  bool exhausted; /* everything within the limits was excluded, because a requirement is not proved for it */
  const char *target; /* greedy-amp: asked for in place of limits */
  bool met;           /* .. and reached */
  uint32_t front_row;
  cli_alloc_hint hint[MAX_HINTS];
  uint32_t n_hints;
  qv_alloc_opts opts;
  cli_alloc_report report;
  qv_arena arena;
} job;

/* ---- text ------------------------------------------------------------------------------------------------------------------------ */

static void header(qv_buf *out, const job *j) {
  const qv_alloc *p = j->a.p;
  qv_arena a = {0};
  qv_buf_printf(out, "%s: %" PRIu32 " groups", cli_safe(&a, j->a.path), p->n_members);
  if (p->n_members != p->n_groups) qv_buf_printf(out, " (%" PRIu32 " after links)", p->n_groups);
  qv_buf_printf(out, ", %" PRIu32 " candidates, method %s", p->n_cands, j->report.method);
  if (j->a.table.metric != NULL) qv_buf_printf(out, ", loss '%s'", cli_safe(&a, j->a.table.metric));
  qv_buf_str(out, "\n\n");
  qv_arena_clear(&a);
}

/* A name that fits a column: long ones (converters join the names of fused operators) lose their end. */
static const char *brief(job *j, const char *name) {
  const char *s = strlen(name) <= 48 ? name : qv_arena_printf(&j->arena, "%.45s...", name);
  return cli_safe(&j->arena, s != NULL ? s : name);
}

/* One line per group of the table, with the table's own numbers. Peaks are not sums over groups: they stand below. */
static void group_table(qv_buf *out, job *j, const uint32_t *choice) {
  const qv_alloc *p = j->a.p;
  cli_table t = {0};
  uint32_t row[8], rows = 0;
  for (uint32_t i = 0; i < p->n_costs && rows < 8; i++)
    if (!p->cost[i].peak) row[rows++] = p->cost[i].row[0];
  cli_col(&t, "group", false);
  cli_col(&t, "choice", false);
  cli_col(&t, "loss", true);
  for (uint32_t m = 0; m < rows; m++) cli_col(&t, cli_safe(&j->arena, p->row[row[m]].name), true);
  for (uint32_t i = 0; i < p->n_members; i++) {
    const qv_atable_group *g = &j->a.table.group[i];
    const char *name = p->cand[p->group[p->member_of[i]].first + choice[p->member_of[i]]].name;
    uint32_t c = 0;
    while (strcmp(g->cand[c].name, name) != 0) c++;
    cli_cell(&t, "%s", brief(j, g->name));
    cli_cell(&t, "%s", cli_safe(&j->arena, name));
    cli_cell(&t, "%s", cli_alloc_num(&j->arena, g->cand[c].val[0]));
    for (uint32_t m = 0; m < rows; m++) cli_cell(&t, "%s", cli_alloc_num(&j->arena, g->cand[c].val[1 + row[m]]));
  }
  cli_table_print(out, &t);
  uint32_t own = 0;
  for (uint32_t i = 0; i < p->n_costs; i++) own += !p->cost[i].peak;
  if (rows < own) qv_buf_printf(out, "  (%" PRIu32 " more costs not shown)\n", own - rows);
}

/* Name of a cost; of a peak, with the row that it is taken at. */
static const char *cost_name(job *j, const qv_alloc_cost *c, const uint32_t *choice) {
  const qv_alloc *p = j->a.p;
  uint32_t at = c->row[0];
  const char *name = cli_safe(&j->arena, c->name);
  if (!c->peak) return name;
  mpq_t v, most;
  mpq_inits(v, most, (mpq_ptr)NULL);
  qv_alloc_cost_of(most, p, choice, c);
  for (uint32_t i = c->n; i-- > 0;) { /* the first of equals */
    qv_alloc_real(v, p, choice, 1 + c->row[i]);
    if (mpq_equal(v, most)) at = c->row[i];
  }
  mpq_clears(v, most, (mpq_ptr)NULL);
  const char *s = qv_arena_printf(&j->arena, "%s (%s)", name, brief(j, p->row[at].name));
  return s != NULL ? s : name;
}

static void cost_table(qv_buf *out, job *j, const uint32_t *choice) {
  const qv_alloc *p = j->a.p;
  cli_table t = {0};
  mpq_t v, share;
  static const char *const head[] = {"cost", "used", "limit", "room", "of full"};
  mpq_inits(v, share, (mpq_ptr)NULL);
  for (int c = 0; c < 5; c++) cli_col(&t, head[c], c > 0);
  for (uint32_t m = 0; m < p->n_costs; m++) {
    const qv_alloc_cost *r = &p->cost[m];
    qv_alloc_cost_of(v, p, choice, r);
    cli_cell(&t, "%s", cost_name(j, r, choice));
    cli_cell(&t, "%s", cli_alloc_num(&j->arena, v));
    cli_cell(&t, "%s", r->limited ? cli_alloc_num(&j->arena, r->asked) : "-");
    mpq_sub(share, r->asked, v);
    cli_cell(&t, "%s", r->limited ? cli_alloc_num(&j->arena, share) : "-");
    if (mpq_sgn(r->full) != 0) {
      mpq_div(share, v, r->full);
      cli_cell(&t, "%.2f %%", 100 * mpq_get_d(share));
    } else cli_cell(&t, "-");
  }
  qv_buf_str(out, "\n");
  cli_table_print(out, &t);
  qv_alloc_real(v, p, choice, 0);
  qv_buf_printf(out, "\nLoss %s", cli_alloc_num(&j->arena, v));
  if (mpz_cmp_ui(mpq_denref(v), 1) != 0) qv_buf_printf(out, " (exactly %s)", cli_alloc_exact(&j->arena, v));
  qv_buf_str(out, "\n");
  mpq_clears(v, share, (mpq_ptr)NULL);
}

static void front_table(qv_buf *out, job *j) {
  const qv_alloc *p = j->a.p;
  cli_table t = {0};
  mpq_t v;
  mpq_init(v);
  cli_col(&t, cli_safe(&j->arena, p->row[j->front_row].name), true);
  cli_col(&t, "loss", true);
  cli_col(&t, "hull", false);
  for (uint32_t i = 0; i < j->front.n; i++) {
    qv_alloc_real(v, p, j->front.point[i].choice, 1 + j->front_row);
    cli_cell(&t, "%s", cli_alloc_num(&j->arena, v));
    qv_alloc_real(v, p, j->front.point[i].choice, 0);
    cli_cell(&t, "%s", cli_alloc_num(&j->arena, v));
    cli_cell(&t, "%s", j->front.point[i].hull ? "hull" : "");
  }
  cli_table_print(out, &t);
  mpq_clear(v);
}

static const char *check_note(const job *j) {
  switch (j->report.checked) {
  case CLI_CHECK_ACCEPTED: return "certificate accepted by qverify-check";
  case CLI_CHECK_NOT_RUN:
    return cli_get(j->cmd, j->val, "no-check") != NULL ? "not checked: --no-check" : "not checked: qverify-check cannot judge it";
  case CLI_CHECK_REJECTED: return "REJECTED by qverify-check";
  }
  return "?";
}

static void explanation(qv_buf *out, job *j) {
  const qv_alloc *p = j->a.p;
  for (uint32_t i = 0; i < j->n_hints; i++) {
    const cli_alloc_hint *h = &j->hint[i];
    const char *name = cli_safe(&j->arena, p->cost[h->cost].name), *note = h->checked == CLI_CHECK_ACCEPTED ? "checked" : "not checked";
    const char *asked = cli_alloc_num(&j->arena, p->cost[h->cost].asked);
    if (h->possible)
      qv_buf_printf(out, "  %s: enough if its limit moves from %s to %s, the others unchanged (%s)\n", name, asked,
                    cli_alloc_num(&j->arena, h->least), note);
    else if (!h->joint) qv_buf_printf(out, "  %s: no value of this limit alone is known to be enough (%s)\n", name, note);
    else if (mpq_equal(h->together, p->cost[h->cost].asked))
      qv_buf_printf(out, "  %s: no value of this limit alone is enough; together with the others it may stay at %s (%s)\n", name, asked, note);
    else
      qv_buf_printf(out, "  %s: no value of this limit alone is enough; together with the others it has to move from %s to %s (%s)\n", name,
                    asked, cli_alloc_num(&j->arena, h->together), note);
  }
}

static void conclusion(qv_buf *out, job *j) {
  const char *verdict = cli_alloc_verdict(j->report.state, j->report.checked), *note = check_note(j);
  const qv_alloc_result *r = &j->result;
  qv_buf_printf(out, "\n%s: ", verdict);
  if (j->exhausted) {
    qv_buf_str(out, "every allocation within the limits was tried, and for none of them the requirement is proved; it is refuted for none by this\n");
    return;
  }
  if (j->target != NULL) {
    qv_buf_printf(out, "as measured, the target %s is %sreached; nothing is claimed about the optimum\n", cli_safe(&j->arena, j->target), j->met ? "" : "NOT ");
    return;
  }
  if (j->greedy) {
    qv_buf_printf(out, "%s; nothing is claimed about the optimum\n",
                  r->has_choice ? "these limits hold, exactly" : "this method found nothing that keeps the limits");
    return;
  }
  if (j->report.state == QV_ALLOC_UNKNOWN) {
    qv_buf_str(out, "the search was ended by its limits");
    if (r->has_choice) qv_buf_str(out, "; this is the best that was found");
    qv_buf_str(out, "\n  next: a longer --timeout or a larger --max-nodes\n");
    return;
  }
  if (j->report.state == QV_ALLOC_INFEASIBLE) {
    qv_buf_printf(out, "no allocation keeps these limits (%s)\n", note);
    if (j->n_hints == 0) qv_buf_str(out, "  --explain says which limit would have to move, and to what\n");
    explanation(out, j);
    return;
  }
  if (j->draw_front) {
    uint32_t hull = 0;
    for (uint32_t i = 0; i < j->front.n; i++) hull += j->front.point[i].hull;
    qv_buf_printf(out, "%" PRIu32 " points, %" PRIu32 " on the hull, and there are no others (%s)\n", j->front.n, hull, note);
    return;
  }
  qv_buf_str(out, "no allocation within the limits has less loss");
  if (r->optima == 1 && r->optima_all) qv_buf_str(out, "; it is the only one");
  else if (r->optima > 1 && r->optima_all) qv_buf_printf(out, "; first of %" PRIu64 " equals", r->optima);
  else if (r->optima > 1) qv_buf_printf(out, "; %sone of at least %" PRIu64 " equals", r->first ? "the first " : "", r->optima);
  if (!r->lex) qv_buf_str(out, "; among equal losses the costs are not proved least");
  qv_buf_printf(out, " (%s)\n", note);
}

static void text(qv_buf *out, job *j) {
  header(out, j);
  if (j->result.has_choice) {
    group_table(out, j, j->result.choice);
    cost_table(out, j, j->result.choice);
  }
  if (j->draw_front && j->front.n > 0) front_table(out, j);
  conclusion(out, j);
}

/* ---- solving --------------------------------------------------------------------------------------------------------------------- */

static qv_status check(job *j, const qv_buf *cert, const char *line, qv_err *err) {
  if (cli_get(j->cmd, j->val, "no-check") != NULL) return QV_OK;
  return cli_alloc_check(&j->report.checked, &j->a.qap, cert, line, err);
}

static qv_status solve_front(job *j, qv_err *err) {
  qv_status st;
  QV_TRY(qv_alloc_front_solve(&j->front, j->a.p, j->front_row, &j->opts, err));
  j->report.front = &j->front;
  j->report.state = j->front.state;
  if (j->front.state == QV_ALLOC_UNKNOWN) return QV_OK;
  const char *line = j->front.state == QV_ALLOC_INFEASIBLE ? "c infeasible" : qv_arena_printf(&j->arena, "c front %" PRIu32, j->front.n);
  j->report.cert = &j->front.cert;
  QV_TRY(check(j, &j->front.cert, line, err));
done:
  return st;
}

/* What a question about least costs found. */
typedef struct {
  bool known, found; /* not found: nothing is feasible whatever that limit is */
  cli_check_result checked;
} answer;

/* Solve x and let the checker judge. The answer's `checked` says whether this and all before it were accepted. */
static qv_status ask(job *j, const qv_alloc *x, qv_alloc_result *r, answer *a, qv_err *err) {
  qv_buf qap = {0};
  qv_status st;
  cli_check_result said = CLI_CHECK_NOT_RUN;
  qv_alloc_opts opts = j->opts;
  opts.engine = QV_ALLOC_TREE; /* (the dominance method needs one limit, and this question may have none) */
  QV_TRY(qv_alloc_solve(r, x, &opts, err));
  a->known = r->state != QV_ALLOC_UNKNOWN;
  a->found = r->state == QV_ALLOC_OPTIMAL;
  if (a->known && cli_get(j->cmd, j->val, "no-check") == NULL) {
    QV_TRY(qv_alloc_text(&qap, x, err));
    QV_TRY(cli_alloc_check(&said, &qap, &r->cert, cli_alloc_line(&j->arena, x, r), err));
  }
  if (said != CLI_CHECK_ACCEPTED) a->checked = CLI_CHECK_NOT_RUN;
done:
  qv_buf_free(&qap);
  return st;
}

/* x: the costs after the one asked about are free, those before it have the limits that were found for them. */
static void limit_jointly(const job *j, qv_alloc *x, uint32_t i) {
  const qv_alloc *p = j->a.p;
  mpq_t v;
  mpq_init(v);
  for (uint32_t k = 0; k < j->n_hints; k++) {
    const qv_alloc_cost *c = &p->cost[j->hint[k].cost];
    for (uint32_t n = 0; k != i && n < c->n; n++) {
      qv_alloc_row *r = &x->row[c->row[n]];
      r->limited = k < i;
      mpq_div(v, j->hint[k].together, r->unit);
      mpz_fdiv_q(r->limit, mpq_numref(v), mpq_denref(v));
    }
  }
  mpq_clear(v);
}

static qv_status least_row(job *j, uint32_t i, bool joint, mpq_t least, answer *a, qv_err *err) {
  qv_alloc *x = NULL;
  qv_alloc_result r = {0};
  qv_status st;
  QV_TRY(qv_alloc_relax(&x, j->a.p, j->a.p->cost[j->hint[i].cost].row[0], err));
  if (joint) limit_jointly(j, x, i);
  QV_TRY(ask(j, x, &r, a, err));
  if (a->found) qv_alloc_real(least, x, r.choice, 0);
done:
  qv_alloc_result_clear(&r);
  qv_alloc_free(x);
  return st;
}

/* The largest number of which every row's unit is a multiple: values of the peak are multiples of it. */
static void common_unit(mpq_t unit, const qv_alloc *p, const qv_alloc_cost *c) {
  mpz_t a, b;
  mpz_inits(a, b, (mpz_ptr)NULL);
  mpq_set(unit, p->row[c->row[0]].unit);
  for (uint32_t i = 1; i < c->n; i++) {
    mpq_srcptr u = p->row[c->row[i]].unit;
    mpz_mul(a, mpq_numref(unit), mpq_denref(u));
    mpz_mul(b, mpq_numref(u), mpq_denref(unit));
    mpz_gcd(mpq_numref(unit), a, b);
    mpz_mul(mpq_denref(unit), mpq_denref(unit), mpq_denref(u));
    mpq_canonicalize(unit);
  }
  mpz_clears(a, b, (mpz_ptr)NULL);
}

/* Least and largest value of a peak, in units: bounds that hold whatever the other limits are. */
static void peak_bounds(mpz_t lo, mpz_t hi, const qv_alloc *p, const qv_alloc_cost *c, mpq_srcptr unit) {
  mpq_t v;
  mpq_init(v);
  for (uint32_t i = 0; i < c->n; i++)
    for (int end = 0; end < 2; end++) {
      mpq_set_ui(v, 0, 1);
      if (end == 0) qv_alloc_least(mpq_numref(v), p, 1 + c->row[i]);
      else qv_alloc_most(mpq_numref(v), p, 1 + c->row[i]);
      mpq_mul(v, v, p->row[c->row[i]].unit);
      mpq_div(v, v, unit); /* an integer */
      mpz_ptr to = end == 0 ? lo : hi;
      if (i == 0 || mpz_cmp(mpq_numref(v), to) > 0) mpz_set(to, mpq_numref(v));
    }
  mpq_clear(v);
}

/* How low can a peak go? By bisection: below the answer nothing is feasible, and each such claim has a certificate. */
static qv_status least_peak(job *j, uint32_t i, bool joint, mpq_t least, answer *a, qv_err *err) {
  const qv_alloc *p = j->a.p;
  const qv_alloc_cost *c = &p->cost[j->hint[i].cost];
  qv_alloc *x = NULL;
  qv_alloc_result r = {0};
  qv_status st = QV_OK;
  mpz_t lo, hi, mid;
  mpq_t unit, v;
  bool any = false;
  mpz_inits(lo, hi, mid, (mpz_ptr)NULL);
  mpq_inits(unit, v, (mpq_ptr)NULL);
  common_unit(unit, p, c);
  peak_bounds(lo, hi, p, c, unit);
  mpz_set(mid, hi);
  while (!any || mpz_cmp(lo, hi) < 0) {
    mpz_set(mpq_numref(v), mid);
    mpz_set_ui(mpq_denref(v), 1);
    mpq_mul(v, v, unit);
    QV_TRY(qv_alloc_within(&x, p, c->row, c->n, v, err));
    if (joint) limit_jointly(j, x, i);
    QV_TRY(ask(j, x, &r, a, err));
    if (!a->known || (!a->found && !any)) goto done;
    if (a->found) {
      any = true;
      qv_alloc_cost_of(least, p, r.choice, c);
      mpq_div(v, least, unit);
      mpz_set(hi, mpq_numref(v));
    } else mpz_add_ui(lo, mid, 1);
    a->found = true;
    mpz_add(mid, lo, hi);
    mpz_fdiv_q_2exp(mid, mid, 1);
    qv_alloc_result_clear(&r);
    qv_alloc_free(x);
    r = (qv_alloc_result){0};
    x = NULL;
  }
done:
  mpz_clears(lo, hi, mid, (mpz_ptr)NULL);
  mpq_clears(unit, v, (mpq_ptr)NULL);
  qv_alloc_result_clear(&r);
  qv_alloc_free(x);
  return st;
}

static qv_status least_cost(job *j, uint32_t i, bool joint, mpq_t least, answer *a, qv_err *err) {
  *a = (answer){.checked = CLI_CHECK_ACCEPTED};
  return j->a.p->cost[j->hint[i].cost].peak ? least_peak(j, i, joint, least, a, err) : least_row(j, i, joint, least, a, err);
}

/* No limit alone is enough: move the first as little as possible, then the second, .. until all are enough together. */
static qv_status explain_jointly(job *j, qv_err *err) {
  const qv_alloc *p = j->a.p;
  qv_status st = QV_OK;
  for (uint32_t i = 0; i < j->n_hints; i++) {
    cli_alloc_hint *h = &j->hint[i];
    answer a;
    QV_TRY(least_cost(j, i, true, h->together, &a, err));
    if (!a.known || !a.found) { /* (couplings alone may forbid everything) */
      for (uint32_t k = 0; k < j->n_hints; k++) j->hint[k].joint = false;
      goto done;
    }
    if (mpq_cmp(h->together, p->cost[h->cost].asked) < 0) mpq_set(h->together, p->cost[h->cost].asked);
    if (a.checked != CLI_CHECK_ACCEPTED) h->checked = CLI_CHECK_NOT_RUN;
    h->joint = true;
  }
done:
  return st;
}

/* How far would each limit alone have to move? */
static qv_status explain(job *j, qv_err *err) {
  const qv_alloc *p = j->a.p;
  qv_status st = QV_OK;
  bool alone = false, all_known = true;
  for (uint32_t m = 0; m < p->n_costs && j->n_hints < MAX_HINTS; m++) {
    answer a;
    if (!p->cost[m].limited) continue;
    uint32_t i = j->n_hints++;
    cli_alloc_hint *h = &j->hint[i];
    mpq_inits(h->least, h->together, (mpq_ptr)NULL);
    h->cost = m;
    QV_TRY(least_cost(j, i, false, h->least, &a, err));
    h->possible = a.known && a.found;
    h->checked = a.checked;
    alone = alone || h->possible;
    all_known = all_known && a.known;
  }
  if (!alone && all_known) QV_TRY(explain_jointly(j, err));
done:
  return st;
}

static qv_status solve_exact(job *j, qv_err *err) {
  qv_status st;
  j->report.result = &j->result;
  QV_TRY(qv_alloc_solve(&j->result, j->a.p, &j->opts, err));
  j->report.state = j->result.state;
  if (j->result.state == QV_ALLOC_UNKNOWN) return QV_OK;
  j->report.cert = &j->result.cert;
  QV_TRY(check(j, &j->result.cert, cli_alloc_line(&j->arena, j->a.p, &j->result), err));
  if (j->result.state == QV_ALLOC_INFEASIBLE && cli_get(j->cmd, j->val, "explain") != NULL) QV_TRY(explain(j, err));
done:
  return st;
}

static qv_status solve_greedy(job *j, const char *name, qv_err *err) {
  const qv_alloc *p = j->a.p;
  qv_status st = QV_OK;
  bool tried = true;
  j->greedy = true;
  j->report.result = &j->result;
  j->result.choice = calloc(p->n_groups, sizeof *j->result.choice);
  if (j->result.choice == NULL) return QV_FAIL(err, QV_E_NOMEM, "out of memory");
  if (strncmp(name, "uniform-", 8) == 0) {
    if (!qv_greedy_uniform(j->result.choice, p, name + 8)) return QV_FAIL(err, QV_E_ARG, "no group has a candidate of precision '%.40s'", name + 8);
    j->result.has_choice = qv_alloc_feasible(p, j->result.choice);
  }
  for (unsigned i = 0; i < QV_GREEDY_N && st == QV_OK; i++)
    if (strcmp(qv_greedy_name((qv_greedy)i), name) == 0)
      st = qv_greedy_run(j->result.choice, &j->result.has_choice, &tried, p, (qv_greedy)i, err);
  return st;
}

/* ilp, dp, or the name of a greedy method, with or without "greedy-". NULL after a usage message. */
static const char *method_of(const cli_cmd *cmd, const char *name) {
  const char *list[QV_GREEDY_N + 2] = {"ilp", "dp"};
  if (name == NULL) return "ilp";
  if (strncmp(name, "greedy-", 7) == 0) name += 7;
  if (strncmp(name, "uniform-", 8) == 0 && name[8] != 0) return name;
  for (unsigned i = 0; i < QV_GREEDY_N; i++) list[2 + i] = qv_greedy_name((qv_greedy)i);
  for (unsigned i = 0; i < QV_GREEDY_N + 2; i++)
    if (strcmp(list[i], name) == 0) return list[i];
  const char *near = cli_nearest(name, list, QV_GREEDY_N + 2);
  (void)cli_usage(cmd, "unknown method '%.40s'; did you mean '%s'? (ilp, dp, greedy-NAME, uniform-PRECISION)", name,
                  near != NULL ? near : "ilp");
  return NULL;
}

/* AMP with a target for the network itself instead of limits. */
static qv_status solve_amp(job *j, const cli_target *target, qv_buf *log, bool *met, qv_err *err) {
  j->greedy = true;
  j->report.result = &j->result;
  j->result.choice = calloc(j->a.p->n_groups, sizeof *j->result.choice);
  if (j->result.choice == NULL) return QV_FAIL(err, QV_E_NOMEM, "out of memory");
  qv_status st = cli_amp(j->result.choice, met, log, &j->net, j->a.p, target, err);
  j->result.has_choice = st == QV_OK;
  return st;
}

/* The chosen network: exported, read back, proved. */
static qv_status realize(job *j, qv_buf *out, qv_err *err) {
  const char *to = cli_get(j->cmd, j->val, "output");
  qv_quantized q = {0};
  qv_status st;
  QV_TRY(cli_allocnet_apply(&j->quantized, &q, &j->net, j->a.p, j->result.choice, cli_get(j->cmd, j->val, "no-check") == NULL, err));
  qv_buf_str(out, "\nThe chosen network\n\n");
  cli_quantized_text(out, &j->quantized, &q, &j->net.f);
  if (to != NULL) QV_TRY(cli_emit(to, &j->quantized.onnx, err));
  qv_verdict v = qv_ovcheck_verdict(&j->quantized.ov);
  qv_buf_printf(out, "%s: accumulator overflow of the exported network, ", qv_verdict_name(v));
  if (j->quantized.proved_bits != 0) qv_buf_printf(out, "%d bits, profile %s\n", j->quantized.proved_bits, j->quantized.profile);
  else qv_buf_printf(out, "each accumulator as profile %s has it\n", j->quantized.profile);
  QV_TRY(cli_allocnet_accumulators(out, &j->net, j->a.p, j->result.choice, &q, &j->quantized, err));
done:
  qv_quantized_clear(&q);
  return st;
}

/* Optimum after optimum, each excluded in turn, until one keeps the requirement; *cuts: how many did not. */
static qv_status satisfy(job *j, const cli_requirement *need, const char *path, uint32_t *cuts, qv_err *err) {
  qv_status st = QV_OK;
  for (*cuts = 0; j->result.has_choice && j->report.state == QV_ALLOC_OPTIMAL; ++*cuts) {
    cli_quantized x = {0};
    qv_quantized q = {0};
    int code = -1;
    st = cli_allocnet_apply(&x, &q, &j->net, j->a.p, j->result.choice, false, err);
    if (st == QV_OK) st = cli_require_check(&code, need, &j->net, &x, err);
    qv_quantized_clear(&q);
    cli_quantized_free(&x);
    if (st != QV_OK || code == 0) return st;
    if (*cuts == MAX_CUTS) {
      j->report.state = QV_ALLOC_UNKNOWN;
      return QV_OK;
    }
    QV_TRY(cli_require_cut(&j->net.made.json, *cuts + 1, j->a.p, j->result.choice, err));
    qv_alloc_result_clear(&j->result);
    j->result = (qv_alloc_result){0};
    cli_alloc_free(&j->a);
    int rc = cli_alloc_load_text(&j->a, j->cmd, path, &j->net.made.json, NULL, cli_all(j->cmd, j->val, "limit"), err);
    if (rc != 0) return QV_FAIL(err, QV_E_INTERNAL, "a table with a cut cannot be read");
    QV_TRY(solve_exact(j, err));
    j->exhausted = j->report.state == QV_ALLOC_INFEASIBLE && j->report.checked == CLI_CHECK_ACCEPTED;
  }
  if (j->exhausted) { /* the limits are not what is infeasible */
    j->report.state = QV_ALLOC_UNKNOWN;
    j->report.cert = NULL;
  }
done:
  return st;
}

static int solve(job *j, const char *path, qv_err *err) {
  const char *front = cli_get(j->cmd, j->val, "front"), *cert = cli_get(j->cmd, j->val, "certificate");
  int rc = cli_allocnet_load(&j->net, &j->a, j->cmd, j->val, path, err);
  qv_status st;
  qv_buf out = {0};
  const char *require = cli_get(j->cmd, j->val, "require"), *target_text = cli_get(j->cmd, j->val, "target");
  cli_requirement need = {0};
  cli_target target;
  bool met = true;
  cli_phase3 phase3;
  qv_buf amp = {0};
  uint32_t cuts = 0;
  if (rc != 0) return rc;
  if (cli_get(j->cmd, j->val, "output") != NULL && !j->net.used)
    return cli_usage(j->cmd, "--output needs a float network; a table says nothing about weights");
  if (require != NULL && !j->net.used) return cli_usage(j->cmd, "--require needs a float network");
  if (require != NULL && !cli_require_read(&need, j->cmd, j->val, require)) return QV_EXIT_USAGE;
  j->report.a = &j->a;
  bool exact = strcmp(j->report.method, "ilp") == 0 || strcmp(j->report.method, "dp") == 0;
  if (!exact && (front != NULL || cert != NULL)) return cli_usage(j->cmd, "a greedy method has neither front nor certificate");
  if (target_text != NULL && (strcmp(j->report.method, "amp") != 0 || !j->net.used || cli_all(j->cmd, j->val, "limit")->n > 0))
    return cli_usage(j->cmd, "--target needs --method greedy-amp on a float network, without --limit");
  if (target_text != NULL && !cli_target_read(&target, target_text))
    return cli_usage(j->cmd, "--target '%.40s': accuracy=97.5 (per cent), accuracy=float-0.5, or sqnr=30 (dB)", target_text);
  if (!cli_phase3_read(&phase3, j->cmd, j->val)) return QV_EXIT_USAGE;
  if (phase3.alphas != NULL && strcmp(j->report.method, "amp") != 0) return cli_usage(j->cmd, "--phase3 needs --method greedy-amp");
  if (!exact && target_text == NULL) {
    uint32_t m = 0;
    while (m < j->a.p->n_rows && !j->a.p->row[m].limited) m++;
    if (m == j->a.p->n_rows && strncmp(j->report.method, "uniform-", 8) != 0) return cli_usage(j->cmd, "a greedy method needs a --limit");
  }
  if (front != NULL && (j->front_row = cli_alloc_row(&j->a, front)) == QV_ATABLE_NONE)
    return cli_usage(j->cmd,
                     cli_alloc_cost(&j->a, front) != QV_ATABLE_NONE ? "'%.80s' is the largest of several costs; a front is drawn for one that is a sum"
                                                                    : "the table has no cost '%.80s'",
                     front);
  j->draw_front = front != NULL;
  j->report.front_row = j->front_row;
  j->opts.engine = strcmp(j->report.method, "dp") == 0 ? QV_ALLOC_DP : QV_ALLOC_TREE;
  if (j->draw_front) QV_TRY(solve_front(j, err));
  else if (exact) {
    QV_TRY(solve_exact(j, err));
    if (require != NULL) QV_TRY(satisfy(j, &need, path, &cuts, err));
  }
  else if (target_text != NULL) QV_TRY(solve_amp(j, &target, &amp, &met, err));
  else QV_TRY(solve_greedy(j, j->report.method, err));
  if (phase3.alphas != NULL && j->result.has_choice && met) {
    QV_TRY(cli_phase3_run(j->result.choice, &amp, &phase3, &j->a, &j->net, target_text != NULL ? &target : NULL,
                          cli_get(j->cmd, j->val, "no-check") == NULL, err));
    j->report.method = "amp-phase3";
  }
  j->target = target_text;
  j->met = met;
  j->report.hint = j->hint;
  j->report.n_hints = j->n_hints;
  if (cert != NULL && j->report.cert != NULL) {
    QV_TRY(cli_alloc_save(cert, &j->a.qap, j->report.cert, err));
    j->report.cert_path = cert;
  }
  qv_buf_put(&out, amp.p, amp.n);
  text(&out, j);
  if (require != NULL)
    qv_buf_printf(&out, "Requirement %s: %" PRIu32 " better allocations excluded because it is not proved for them%s\n", require, cuts,
                  j->report.state == QV_ALLOC_OPTIMAL
                      ? need.is_error ? "; for this one it is" : "; for this one it is, on every sample asked about"
                      : "");
  if (j->net.used && cli_get(j->cmd, j->val, "explain") != NULL) cli_allocnet_explain(&out, &j->net);
  if (j->net.used && j->result.has_choice) QV_TRY(realize(j, &out, err));
  const char *json = j->report.path;
  if (json == NULL || strcmp(json, "-") != 0) QV_TRY(cli_emit("-", &out, err));
  j->report.complete = true;
done:
  qv_buf_free(&out);
  qv_buf_free(&amp);
  if (st == QV_E_ARG) return cli_usage(j->cmd, "%s", err->msg);
  if (st != QV_OK) return cli_fail(st, st == QV_E_UNSUP ? path : NULL, err);
  bool accepted = j->report.checked == CLI_CHECK_ACCEPTED;
  bool realized = j->net.used && j->result.has_choice;
  const qv_tally tally = {.selected = 1 + (realized ? j->quantized.ov.selected : 0),
                          .verified = (accepted && j->report.state == QV_ALLOC_OPTIMAL) + (realized ? j->quantized.ov.verified : 0),
                          .falsified = accepted && j->report.state == QV_ALLOC_INFEASIBLE};
  return qv_cli_exit(QV_OK, &tally);
}

static int run(const cli_cmd *cmd, const char *const *operand, const cli_val *val) {
  double start = cli_now();
  qv_err err = {0}, report_err = {0};
  int64_t seconds, nodes;
  job *j = calloc(1, sizeof *j);
  if (j == NULL) return cli_fail(QV_FAIL(&err, QV_E_NOMEM, "out of memory"), NULL, &err);
  j->cmd = cmd;
  j->val = val;
  j->report = (cli_alloc_report){.path = cli_get(cmd, val, "json"), .command = "allocate", .table_path = operand[0], .err = &err};
  j->report.method = method_of(cmd, cli_get(cmd, val, "method"));
  int rc = QV_EXIT_USAGE;
  if (j->report.method == NULL || !cli_get_int(&seconds, cmd, val, "timeout", 1, 1000000, 0) ||
      !cli_get_int(&nodes, cmd, val, "max-nodes", 1, INT64_MAX, 0))
    goto done;
  j->opts.seconds = (double)seconds;
  j->opts.max_nodes = (uint64_t)nodes;
  qv_status st = cli_alloc_report_begin(&j->report, &report_err);
  if (st != QV_OK) {
    rc = cli_fail(st, j->report.path, &report_err);
    goto done;
  }
  rc = j->report.exit_code = solve(j, operand[0], &err);
  j->report.seconds = cli_now() - start;
  st = cli_alloc_report_write(&j->report, &report_err);
  if (st != QV_OK) rc = cli_fail(st, j->report.path, &report_err);
done:
  for (uint32_t i = 0; i < j->n_hints; i++) mpq_clears(j->hint[i].least, j->hint[i].together, (mpq_ptr)NULL);
  qv_alloc_result_clear(&j->result);
  qv_alloc_front_clear(&j->front);
  cli_alloc_free(&j->a);
  cli_quantized_free(&j->quantized);
  cli_allocnet_free(&j->net);
  qv_arena_clear(&j->arena);
  free(j);
  return rc;
}

static const cli_opt opts[] = {
    {"limit", 'l', "NAME=VALUE", true, "NAME=1.5e6, NAME=60% (of the reference), NAME=25%range or NAME=none; replaces the table's limit"},
    {"metric", 'm', "NAME", false, "which loss, where the table has several"},
    {"method", 'M', "NAME", false,
     "ilp (default), dp, greedy-amp, greedy-nncf, greedy-nncf-undo, greedy-ratio, greedy-ratio-skip, greedy-ratio-undo, "
     "greedy-rusci, greedy-eagl, greedy-hawq-v3, uniform-PRECISION"},
    {"front", 'f', "NAME", false, "the whole front of loss and this cost, instead of one allocation"},
    {"explain", 'e', NULL, false, "where nothing is feasible: which limit would have to move, and to what"},
    {"certificate", 'C', "FILE", false, "write the certificate (.qva), and beside it the problem as .qap"},
    {"json", 'j', "FILE", false, "write a report (docs/allocation.md section 8); '-' writes it to standard output in place of the text"},
    {"timeout", 't', "SECONDS", false, "give up after about so many seconds"},
    {"max-nodes", 0, "N", false, "give up after so many nodes of a search tree (default 200000)"},
    {"no-check", 0, NULL, false, "do not run the independent checker; nothing is claimed then (exit 5)"},
    CLI_ALLOCNET_OPTS,
    {"output", 'o', "FILE", false, "float network: where the chosen network goes, as ONNX"},
    {"target", 0, "SCORE", false,
     "greedy-amp on a float network: instead of limits, what the integers must reach: accuracy=97.5 (% of --test), accuracy=float-0.5, "
     "sqnr=30 (dB)"},
    CLI_PHASE3_OPTS,
    {"require", 0, "CLAIM", false,
     "float network: robust:EPS (the chosen network provably keeps its answers within EPS integer steps of the input), or error<=X, "
     "error<=X@R (it is provably within X of the float network, for every input, or within R of samples); allocations that do not are "
     "excluded"},
    {"require-samples", 0, "N", false, "... on the first N calibration samples (default 10)"},
    {"require-timeout", 0, "S", false, "... with S seconds a sample (default 10)"},
    {.name = NULL},
};

const cli_cmd cli_allocate = {
    .name = "allocate",
    .operands = "TABLE|FLOAT",
    .n_operands = 1,
    .summary = "choose a bit width for every layer: the least loss under limits, proved optimal",
    .detail =
        "TABLE is a JSON table of groups with candidates, losses and costs (docs/allocation.md). The answer is exact: losses and costs are "
        "rational numbers, and the claim that nothing better exists counts only after the independent checker, a separate program, has "
        "accepted its certificate. FLOAT is a float ONNX or TFLite network: losses are measured on samples (--calib), each candidate is "
        "proved free of "
        "accumulator overflow on its own integer weights, and the chosen network is quantized, exported and proved (docs/quantize.md). "
        "Exit codes: 0 optimal, 10 proved infeasible, 5 neither is proved.",
    .example = "qverify allocate table.json --limit size=60% --limit bops=50% --certificate best.qva",
    .opt = opts,
    .run = run,
};
