#include "cli/phase3.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ilp/convert.h"

/* The next number of a list; its end in *s. */
static bool next_alpha(mpq_t alpha, const char **s) {
  char one[64];
  size_t n = strcspn(*s, ",");
  if (n >= sizeof one) return false;
  memcpy(one, *s, n);
  one[n] = 0;
  *s += n + ((*s)[n] == ',');
  return qv_atable_number(alpha, one) && mpq_sgn(alpha) >= 0;
}

bool cli_phase3_read(cli_phase3 *out, const cli_cmd *cmd, const cli_val *val) {
  const char *how = cli_get(cmd, val, "conversions");
  *out = (cli_phase3){.alphas = cli_get(cmd, val, "phase3"), .ones = how != NULL && strcmp(how, "ones") == 0};
  if (how != NULL && !out->ones && strcmp(how, "elements") != 0) return cli_usage(cmd, "--conversions is elements or ones, not '%.40s'", how) == 0;
  if (out->alphas == NULL) return how == NULL || cli_usage(cmd, "--conversions is about --phase3") == 0;
  mpq_t alpha;
  bool ok = true;
  mpq_init(alpha);
  for (const char *s = out->alphas; ok && (*s != 0 || s == out->alphas);) ok = next_alpha(alpha, &s);
  mpq_clear(alpha);
  return ok || cli_usage(cmd, "--phase3 '%.60s': shares of the conversions after phase 2, from 0 up, e.g. 1,0.8,0.6,0.4,0.2,0", out->alphas) == 0;
}

typedef struct {
  const cli_phase3 *x;
  const cli_alloc *a;
  const qv_alloc *p;
  qv_flows flows;
  const char **kind; /* [cands] */
  bool *keep;        /* [cands] */
  uint32_t row;
  qv_buf *log;
  bool check;
  qv_arena arena;
} phase3;

/* What must be equal on both sides of an edge: the width of activations where the precision says one, else the precision. */
static bool name_kinds(phase3 *m) {
  const qv_alloc *p = m->p;
  m->kind = QV_NEW(&m->arena, p->n_cands, const char *);
  m->keep = QV_NEW(&m->arena, p->n_cands, bool);
  for (uint32_t c = 0; m->kind != NULL && c < p->n_cands; c++) {
    qv_bits b;
    m->kind[c] = qv_cand_read(&b, NULL, p->cand[c].label) ? qv_arena_printf(&m->arena, "A%d", b.a) : p->cand[c].label;
    if (m->kind[c] == NULL) return false;
  }
  return m->kind != NULL && m->keep != NULL;
}

/* What is made least: bit operations, or the first limited row of a table without them. */
static bool find_row(phase3 *m) {
  const qv_alloc *p = m->p;
  m->row = p->n_rows;
  for (uint32_t r = p->n_rows; r-- > 0;)
    if (p->row[r].limited) m->row = r;
  uint32_t bops = cli_alloc_row(m->a, "bops");
  if (bops != QV_ATABLE_NONE) m->row = bops;
  return m->row < p->n_rows;
}

static void say(phase3 *m, const char *what, const uint32_t *choice, const char *note) {
  mpq_t v;
  if (m->log == NULL) return;
  mpq_init(v);
  qv_buf_printf(m->log, "  %s: ", what);
  qv_flows_cut(v, &m->flows, m->p, m->kind, choice);
  qv_buf_printf(m->log, "conversions %s, ", cli_alloc_num(&m->arena, v));
  qv_alloc_real(v, m->p, choice, 1 + m->row);
  qv_buf_printf(m->log, "%s %s, ", cli_safe(&m->arena, m->p->row[m->row].name), cli_alloc_num(&m->arena, v));
  qv_alloc_real(v, m->p, choice, 0);
  qv_buf_printf(m->log, "loss %s%s\n", cli_alloc_num(&m->arena, v), note);
  mpq_clear(v);
}

static const char *judged(qv_alloc_state state, cli_check_result said, bool check) {
  if (state == QV_ALLOC_UNKNOWN) return "the search was ended by its limits";
  if (said == CLI_CHECK_ACCEPTED) return state == QV_ALLOC_OPTIMAL ? "proved: no choice with so few conversions costs less; certificate accepted" : "proved, certificate accepted";
  return check ? "not proved: qverify-check cannot judge it" : "not checked: --no-check";
}

/* One alpha from the choice of phase 2: *x becomes the answer; *found false: there is none. */
static qv_status one(phase3 *m, const uint32_t *from, mpq_srcptr alpha, uint32_t *x, bool *found, const char **note, qv_err *err) {
  const qv_convert_question q = {.p = m->p, .flows = &m->flows, .kind = m->kind, .from = from, .row = m->row, .alpha = alpha};
  qv_buf json = {0}, qap = {0};
  qv_atable t = {0};
  qv_alloc *p = NULL;
  qv_alloc_result r = {0};
  cli_check_result said = CLI_CHECK_NOT_RUN;
  qv_status st;
  QV_TRY(qv_convert_table(&json, m->keep, &q, err));
  QV_TRY(qv_atable_read(&t, (const char *)json.p, json.n, NULL, err));
  QV_TRY(qv_alloc_build(&p, &t, err));
  QV_TRY(qv_alloc_solve(&r, p, &(qv_alloc_opts){.no_cert = !m->check}, err));
  if (m->check && r.state != QV_ALLOC_UNKNOWN) {
    QV_TRY(qv_alloc_text(&qap, p, err));
    QV_TRY(cli_alloc_check(&said, &qap, &r.cert, cli_alloc_line(&m->arena, p, &r), err));
  }
  *note = judged(r.state, said, m->check);
  *found = r.has_choice;
  if (r.has_choice) {
    memcpy(x, r.choice, p->n_groups * sizeof *x);
    qv_convert_back(x, m->p, m->keep);
  }
done:
  qv_alloc_result_clear(&r);
  qv_alloc_free(p);
  qv_atable_free(&t);
  qv_buf_free(&json);
  qv_buf_free(&qap);
  return st;
}

/* Every alpha, each from the choice of phase 2. */
static qv_status all(phase3 *m, uint32_t *choice, const cli_allocnet *net, const cli_target *target, qv_err *err) {
  uint32_t *from = QV_NEW(&m->arena, m->p->n_groups, uint32_t), *x = QV_NEW(&m->arena, m->p->n_groups, uint32_t);
  const char *taken = NULL;
  mpq_t alpha;
  qv_status st = QV_OK;
  if (from == NULL || x == NULL) return QV_FAIL(err, QV_E_NOMEM, "out of memory");
  memcpy(from, choice, m->p->n_groups * sizeof *x);
  mpq_init(alpha);
  for (const char *s = m->x->alphas; *s != 0;) {
    bool found = false, met = true;
    double score = 0;
    const char *note = "";
    if (!next_alpha(alpha, &s)) break;
    const char *name = qv_arena_printf(&m->arena, "alpha %s", cli_alloc_num(&m->arena, alpha));
    QV_TRY(one(m, from, alpha, x, &found, &note, err));
    if (name == NULL) name = "alpha";
    if (!found) {
      if (m->log != NULL) qv_buf_printf(m->log, "  %s: nothing keeps it within the limits (%s)\n", name, note);
      continue;
    }
    if (target != NULL) QV_TRY(cli_amp_score(&score, &met, net, m->p, target, x, err));
    const char *more = target != NULL ? qv_arena_printf(&m->arena, "; score %.3f%s (%s)", score, met ? "" : ", below the target", note)
                                      : qv_arena_printf(&m->arena, " (%s)", note);
    say(m, name, x, more != NULL ? more : "");
    if (!met) continue;
    taken = name;
    memcpy(choice, x, m->p->n_groups * sizeof *x);
  }
  if (m->log != NULL && taken != NULL) qv_buf_printf(m->log, "AMP phase 3: %s is taken\n", taken);
  else if (m->log != NULL) qv_buf_str(m->log, "AMP phase 3: the choice of phase 2 stays\n");
done:
  mpq_clear(alpha);
  return st;
}

qv_status cli_phase3_run(uint32_t *choice, qv_buf *log, const cli_phase3 *x, const cli_alloc *a, const cli_allocnet *net, const cli_target *target,
                         bool check, qv_err *err) {
  phase3 m = {.x = x, .a = a, .p = a->p, .log = log, .check = check};
  qv_status st;
  QV_TRY(qv_flows_of(&m.flows, &a->table, a->p, x->ones, err));
  if (m.flows.n == 0 && net->used) {
    if (log != NULL) qv_buf_str(log, "AMP phase 3: nothing goes from group to group; the choice of phase 2 stays\n");
    goto done;
  }
  if (m.flows.n == 0)
    st = QV_FAIL(err, QV_E_ARG, "AMP's phase 3 counts conversions between groups: the table has neither \"edges\" nor \"conversions\" between different groups");
  else if (!name_kinds(&m)) st = QV_FAIL(err, QV_E_NOMEM, "out of memory");
  else if (!find_row(&m)) st = QV_FAIL(err, QV_E_ARG, "AMP's phase 3 makes bops least, or else the first limited cost: the table has neither");
  if (st != QV_OK) goto done;
  if (log != NULL)
    qv_buf_printf(log, "AMP phase 3: %" PRIu32 " edges between groups, %s\n", m.flows.n,
                  x->ones || m.flows.conversions ? "each counted once" : "each counted with its weight");
  say(&m, "phase 2", choice, "");
  QV_TRY(all(&m, choice, net, target, err));
done:
  qv_flows_clear(&m.flows);
  qv_arena_clear(&m.arena);
  return st;
}
