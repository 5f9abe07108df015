#include "ilp/glpk.h"

#include <errno.h>
#include <fcntl.h>
#include <glpk.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* min obj x, lo <= A x <= hi, x binary; -INFINITY and INFINITY: no bound. */
typedef struct {
  int cols, rows;
  double *obj;     /* [cols] */
  double *lo, *hi; /* [rows] */
  int *ri, *ci;    /* [nz + 1] from 1, GLPK's way */
  double *v;
  int nz;
} model;

static qv_status model_init(model *m, size_t cols, size_t rows, size_t nz, qv_err *err) {
  *m = (model){.cols = (int)cols, .rows = (int)rows};
  if (cols > 100000 || rows > 100000 || nz > 10000000) return QV_FAIL(err, QV_E_LIMIT, "too large for GLPK");
  m->obj = calloc(cols + 1, sizeof *m->obj);
  m->lo = calloc(rows + 1, sizeof *m->lo);
  m->hi = calloc(rows + 1, sizeof *m->hi);
  m->ri = calloc(nz + 1, sizeof *m->ri);
  m->ci = calloc(nz + 1, sizeof *m->ci);
  m->v = calloc(nz + 1, sizeof *m->v);
  return m->obj != NULL && m->lo != NULL && m->hi != NULL && m->ri != NULL && m->ci != NULL && m->v != NULL
             ? QV_OK
             : QV_FAIL(err, QV_E_NOMEM, "out of memory");
}

static void model_clear(model *m) {
  free(m->obj), free(m->lo), free(m->hi), free(m->ri), free(m->ci), free(m->v);
}

static void entry(model *m, size_t row, size_t col, double v) {
  if (v == 0) return;
  m->nz++;
  m->ri[m->nz] = (int)row + 1;
  m->ci[m->nz] = (int)col + 1;
  m->v[m->nz] = v;
}

/* ---- the child -------------------------------------------------------------------------------------------------------------------- */

static int bound_type(double lo, double hi) {
  if (isfinite(lo)) return !isfinite(hi) ? GLP_LO : lo < hi ? GLP_DB : GLP_FX;
  return isfinite(hi) ? GLP_UP : GLP_FR;
}

/* Solve; true with x[] filled if GLPK calls its answer feasible or optimal. */
static bool solve(const model *m, unsigned char *x, int ms) {
  glp_iocp parm;
  glp_prob *lp = glp_create_prob();
  glp_term_out(GLP_OFF);
  glp_set_obj_dir(lp, GLP_MIN);
  if (m->rows > 0) glp_add_rows(lp, m->rows);
  glp_add_cols(lp, m->cols);
  for (int i = 0; i < m->rows; i++) glp_set_row_bnds(lp, i + 1, bound_type(m->lo[i], m->hi[i]), m->lo[i], m->hi[i]);
  for (int j = 0; j < m->cols; j++) {
    glp_set_col_kind(lp, j + 1, GLP_BV);
    glp_set_obj_coef(lp, j + 1, m->obj[j]);
  }
  glp_load_matrix(lp, m->nz, m->ri, m->ci, m->v);
  glp_init_iocp(&parm);
  parm.msg_lev = GLP_MSG_OFF;
  parm.presolve = GLP_ON;
  parm.tm_lim = ms;
  int rc = glp_intopt(lp, &parm), status = glp_mip_status(lp);
  bool ok = (rc == 0 || rc == GLP_ETMLIM || rc == GLP_EMIPGAP) && (status == GLP_OPT || status == GLP_FEAS);
  for (int j = 0; ok && j < m->cols; j++) x[j] = glp_mip_col_val(lp, j + 1) > 0.5;
  return ok;
}

/* In the child: stay mute, answer with cols bytes, and vanish. No return and no exit handlers: they belong to the parent. */
static void child(const model *m, int fd, double seconds) {
  unsigned char *x = calloc((size_t)m->cols + 1, 1);
  int null = open("/dev/null", O_RDWR);
  for (int i = 0; i <= 2 && null >= 0; i++) (void)dup2(null, i);
  (void)alarm((unsigned)seconds + 2);
  if (x != NULL && null >= 0 && solve(m, x, (int)(seconds * 1000))) {
    ssize_t n = write(fd, x, (size_t)m->cols);
    (void)n; /* a short answer is no answer */
  }
  (void)kill(getpid(), SIGKILL);
}

static bool read_all(int fd, unsigned char *x, size_t n) {
  size_t at = 0;
  while (at < n) {
    ssize_t k = read(fd, x + at, n - at);
    if (k < 0 && errno == EINTR) continue;
    if (k <= 0) return false;
    at += (size_t)k;
  }
  return true;
}

static qv_status ask(const model *m, unsigned char *x, bool *answered, double seconds, qv_err *err) {
  int fd[2], status;
  *answered = false;
  if (pipe2(fd, O_CLOEXEC) != 0) return QV_FAIL(err, QV_E_LIMIT, "pipe: %s", strerror(errno));
  pid_t pid = fork();
  if (pid == 0) {
    (void)close(fd[0]);
    child(m, fd[1], seconds);
  }
  (void)close(fd[1]);
  if (pid > 0) {
    *answered = read_all(fd[0], x, (size_t)m->cols);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) continue;
  }
  (void)close(fd[0]);
  return QV_OK;
}

/* ---- questions ------------------------------------------------------------------------------------------------------------------ */

qv_status qv_glpk_propose(uint32_t *choice, bool *tried, const qv_question *q, double seconds, qv_err *err) {
  const qv_alloc *p = q->p;
  model m = {0};
  qv_status st;
  unsigned char *x = calloc((size_t)p->n_cands + 1, 1);
  *tried = false;
  if (x == NULL) return QV_FAIL(err, QV_E_NOMEM, "out of memory");
  if (p->n_blocks > 0 || p->n_classes > 0) { /* not worth a linearization: the tree finds its own */
    st = QV_OK;
    goto done;
  }
  QV_TRY(model_init(&m, p->n_cands, (size_t)p->n_groups + q->n, (size_t)p->n_cands * (1 + (size_t)q->n), err));
  for (uint32_t g = 0; g < p->n_groups; g++) {
    m.lo[g] = m.hi[g] = 1;
    for (uint32_t c = p->group[g].first; c < p->group[g].first + p->group[g].n; c++) {
      m.obj[c] = 1e6 * q->dk[c]; /* scaled keys are at most 1 */
      entry(&m, g, c, 1);
      for (uint32_t r = 0; r < q->n; r++) entry(&m, p->n_groups + r, c, 1e3 * q->da[(size_t)c * q->n + r]);
    }
  }
  for (uint32_t r = 0; r < q->n; r++) {
    m.lo[p->n_groups + r] = -INFINITY;
    m.hi[p->n_groups + r] = 1e3 * q->db[r];
  }
  QV_TRY(ask(&m, x, tried, seconds, err));
  for (uint32_t g = 0; *tried && g < p->n_groups; g++) {
    uint32_t picked = 0;
    for (uint32_t c = 0; c < p->group[g].n; c++)
      if (x[p->group[g].first + c]) choice[g] = c, picked++;
    *tried = picked == 1;
  }
done:
  model_clear(&m);
  free(x);
  return st;
}

qv_status qv_glpk_two_widths(uint32_t *choice, bool *tried, const qv_alloc *p, uint32_t row, const uint32_t *wide, const uint32_t *narrow,
                             qv_err *err) {
  model m = {0};
  qv_status st;
  mpz_t d, need;
  unsigned char *x = calloc((size_t)p->n_groups + 1, 1);
  double loss_unit = mpq_get_d(p->loss_unit), unit = mpq_get_d(p->row[row].unit);
  *tried = false;
  mpz_inits(d, need, (mpz_ptr)NULL);
  if (x == NULL) {
    st = QV_FAIL(err, QV_E_NOMEM, "out of memory");
    goto done;
  }
  QV_TRY(model_init(&m, p->n_groups, 1, p->n_groups, err));
  mpz_neg(need, p->row[row].limit);
  for (uint32_t g = 0; g < p->n_groups; g++) { /* y = 1: narrow; saved costs have to reach what is above the limit */
    uint32_t w = p->group[g].first + wide[g], n = p->group[g].first + narrow[g];
    mpz_add(need, need, qv_alloc_val(p, w, 1 + row));
    mpz_sub(d, qv_alloc_val(p, n, 0), qv_alloc_val(p, w, 0));
    m.obj[g] = mpz_get_d(d) * loss_unit;
    mpz_sub(d, qv_alloc_val(p, w, 1 + row), qv_alloc_val(p, n, 1 + row));
    entry(&m, 0, g, mpz_get_d(d) * unit);
  }
  m.lo[0] = mpz_get_d(need) * unit;
  m.hi[0] = INFINITY;
  QV_TRY(ask(&m, x, tried, 10, err));
  for (uint32_t g = 0; g < p->n_groups; g++) choice[g] = x[g] ? narrow[g] : wide[g];
done:
  mpz_clears(d, need, (mpz_ptr)NULL);
  model_clear(&m);
  free(x);
  return st;
}
