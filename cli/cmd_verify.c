/* qverify verify: VNN-LIB queries, answered in the words of the standard. */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/robust.h"
#include "cli/storage.h"
#include "frontend/vnnlib.h"

typedef struct {
  const cli_cmd *cmd;
  const cli_val *val;
  cli_model m;
  qv_vnnlib *text;
  qv_vnn_query q;
  rb_opts o;
  unsigned threads;
  bool stop;      /* a satisfying assignment was found */
  bool timed_out;
  size_t open;    /* cases without an answer */
  qv_buf result;  /* assignment */
} job;

/* ---- values of the declared variables --------------------------------------------------------------------------------------- */

/* Element e of the tensor at this port, as the query sees it. */
static void value(mpq_t v, const qv_net *net, bool output, uint32_t port, qv_vnn_kind kind, int64_t q, const float *real) {
  const qv_tensor *t = &net->tensor[output ? net->out[port].tensor : net->in[port].tensor];
  mpq_set_si(v, q, 1);
  if (real != NULL) mpq_set_d(v, (double)*real);
  else if (kind != QV_VNN_INT && t->has_q) {
    mpq_t s;
    mpq_init(s);
    mpq_set_si(v, q, 1);
    mpq_set_si(s, t->zp, 1);
    mpq_sub(v, v, s);
    mpq_set_d(s, (double)t->scale);
    mpq_mul(v, v, s);
    if (kind == QV_VNN_FLOAT32) mpq_set_d(v, (double)(float)mpq_get_d(v)); /* at most 53 bits: exact before the one rounding */
    mpq_clear(s);
  }
}

typedef struct {
  mpq_t *v[2];
  size_t n[2];
} world;

static void world_clear(world *w) {
  for (int k = 0; k < 2; k++) {
    for (size_t e = 0; e < w->n[k]; e++) mpq_clear(w->v[k][e]);
    free(w->v[k]);
  }
}

/* Values in the order of declaration; version 1: of all ports in order. */
static qv_status fill(world *w, const job *j, int64_t *const *x, float *const *real, int64_t *const *y, qv_err *err) {
  const qv_net *net = j->m.net;
  bool v1 = qv_vnnlib_version(j->text) == 1;
  for (uint32_t i = 0; i < j->q.n_var; i++) {
    const qv_vnn_var *var = &j->q.var[i];
    mpq_t *v = realloc(w->v[var->output], (w->n[var->output] + var->count) * sizeof *v);
    if (v == NULL) return QV_FAIL(err, QV_E_NOMEM, "out of memory");
    w->v[var->output] = v;
    uint32_t port = v1 ? 0 : var->port;
    const qv_port *ports = var->output ? net->out : net->in;
    for (size_t e = 0, at = 0; e < var->count; e++, at++) {
      if (v1 && at == qv_elems(&net->tensor[ports[port].tensor])) {
        port++;
        at = 0;
      }
      mpq_init(v[w->n[var->output]]);
      const float *r = !var->output && real[port] != NULL ? &real[port][at] : NULL;
      value(v[w->n[var->output]++], net, var->output, port, j->q.kind[i], var->output ? y[port][at] : x[port][at], r);
    }
  }
  return QV_OK;
}

/* ---- assignments --------------------------------------------------------------------------------------------------------------- */

static bool print_values(qv_buf *b, const job *j, const world *w) {
  bool v1 = qv_vnnlib_version(j->text) == 1, ok = true;
  size_t at[2] = {0, 0};
  for (uint32_t i = 0; i < j->q.n_var; i++) {
    const qv_vnn_var *var = &j->q.var[i];
    if (!v1) {
      qv_buf_printf(b, "%s %s [", var->name, var->type);
      for (uint32_t d = 0; d < var->rank; d++) qv_buf_printf(b, "%s%" PRIu32, d > 0 ? "," : "", var->dim[d]);
      qv_buf_str(b, "]\n");
    }
    for (size_t e = 0; e < var->count; e++) {
      if (v1) qv_buf_printf(b, "%s(%s_%zu ", i + e == 0 ? "(" : "", var->name, e);
      ok &= qv_vnn_decimal(b, w->v[var->output][at[var->output]++]);
      if (v1) qv_buf_str(b, i + 1 == j->q.n_var && e + 1 == var->count ? "))" : ")");
      qv_buf_str(b, "\n");
    }
  }
  return ok && !b->failed;
}

static void varint(qv_buf *b, uint64_t v) {
  do {
    unsigned char c = (unsigned char)(v & 127) | (v > 127 ? 128 : 0);
    qv_buf_put(b, &c, 1);
    v >>= 7;
  } while (v > 0);
}

static void field(qv_buf *b, unsigned number, const void *data, size_t n) { /* length-delimited */
  varint(b, number << 3 | 2);
  varint(b, n);
  qv_buf_put(b, data, n);
}

/* ONNX TensorProto: dims 1, data_type 2, name 8, raw_data 9. */
static qv_status tensor_proto(const char *path, const qv_vnn_var *var, mpq_t *v, qv_err *err) {
  static const struct {
    const char *type;
    unsigned number, bytes;
  } types[] = {{"float32", 1, 4}, {"uint8", 2, 1}, {"int8", 3, 1}, {"uint16", 4, 2}, {"int16", 5, 2}, {"int32", 6, 4}, {"int64", 7, 8}};
  unsigned number = 11, bytes = 8; /* real: double */
  qv_buf b = {0}, raw = {0};
  for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
    if (strcmp(var->type, types[i].type) == 0) {
      number = types[i].number;
      bytes = types[i].bytes;
    }
  for (size_t e = 0; e < var->count; e++) {
    double d = mpq_get_d(v[e]);
    float f = (float)d;
    int64_t k = number > 1 && number < 11 ? mpz_get_si(mpq_numref(v[e])) : 0;
    qv_buf_put(&raw, number == 11 ? (const void *)&d : number == 1 ? (const void *)&f : (const void *)&k, bytes); /* little-endian */
  }
  for (uint32_t d = 0; d < var->rank; d++) {
    varint(&b, 1 << 3);
    varint(&b, var->dim[d]);
  }
  varint(&b, 2 << 3);
  varint(&b, number);
  field(&b, 8, var->name, strlen(var->name));
  field(&b, 9, raw.p, raw.n);
  if (raw.failed) b.failed = true;
  qv_status st = cli_emit(path, &b, err);
  qv_buf_free(&b);
  qv_buf_free(&raw);
  return st;
}

static qv_status serialise(const char *dir, const job *j, const world *w, qv_err *err) {
  size_t at[2] = {0, 0};
  qv_arena a = {0};
  qv_status st = mkdir(dir, 0777) == 0 || errno == EEXIST ? QV_OK : QV_FAIL(err, QV_E_INTERNAL, "%s: %s", dir, strerror(errno));
  for (uint32_t i = 0; st == QV_OK && i < j->q.n_var; i++) {
    const qv_vnn_var *var = &j->q.var[i];
    const char *path = qv_arena_printf(&a, "%s/%s.pb", dir, var->name);
    st = path != NULL ? tensor_proto(path, var, w->v[var->output] + at[var->output], err) : QV_FAIL(err, QV_E_NOMEM, "out of memory");
    at[var->output] += var->count;
  }
  qv_arena_clear(&a);
  return st;
}

/* Binary32 values behind the integers, within the case's intervals. False: there are none for some element. */
static qv_status realize(bool *ok, float **real, const rb_answer *a, const job *j, const qv_vnn_case *c, qv_arena *arena, qv_err *err) {
  const qv_net *net = j->m.net;
  *ok = true;
  for (uint32_t i = 0; i < net->n_in; i++) {
    if (c->lo[i] == NULL) continue;
    size_t n = qv_elems(&net->tensor[net->in[i].tensor]);
    if ((real[i] = QV_NEW(arena, n, float)) == NULL) return QV_FAIL(err, QV_E_NOMEM, "out of memory");
    for (size_t e = 0; e < n; e++) *ok &= qv_query_float(&real[i][e], net, i, a->input[i][e], c->lo[i][e], c->hi[i][e]);
  }
  return QV_OK;
}

/* The counterexample as an assignment that satisfies the text of the query itself. *good false: no binary32 input gives these integers. */
static qv_status assignment(bool *good, job *j, const rb_answer *a, const qv_vnn_case *c, qv_err *err) {
  qv_status st;
  qv_arena arena = {0};
  world w = {0};
  int64_t **y;
  bool ran, yes;
  const char *dir = cli_get(j->cmd, j->val, "serialise-assignments");
  float **real = QV_NEW(&arena, j->m.net->n_in, float *);
  QV_TRY(real != NULL ? realize(good, real, a, j, c, &arena, err) : QV_FAIL(err, QV_E_NOMEM, "out of memory"));
  if (!*good) goto done;
  QV_TRY(rb_execute(&y, &arena, j->m.net, (const int64_t *const *)a->input, &ran, err));
  if (!ran) {
    st = QV_FAIL(err, QV_E_INTERNAL, "the counterexample does not run");
    goto done;
  }
  QV_TRY(fill(&w, j, a->input, real, y, err));
  QV_TRY(qv_vnnlib_holds(&yes, j->text, w.v[0], w.n[0], w.v[1], w.n[1], err));
  if (!yes || !print_values(&j->result, j, &w)) {
    st = QV_FAIL(err, QV_E_INTERNAL, "the assignment does not satisfy the query");
    goto done;
  }
  if (dir != NULL) QV_TRY(serialise(dir, j, &w, err));
done:
  world_clear(&w);
  qv_arena_clear(&arena);
  return st;
}

/* ---- cases ----------------------------------------------------------------------------------------------------------------------- */

static qv_status ask(void *ctx, size_t i, rb_worker *w, rb_answer *a, qv_err *err) {
  job *j = ctx;
  char name[32];
  (void)snprintf(name, sizeof name, "case%zu", i);
  a->cls = QV_NONE;
  return rb_search(a, w, &j->q.item[i].property, NULL, name, err);
}

static qv_status done(void *ctx, size_t i, rb_answer *a, qv_err *err) {
  job *j = ctx;
  bool good = false;
  if (a->verdict == QV_VERIFIED) return QV_OK;
  if (a->verdict == QV_FALSIFIED) {
    qv_status st = assignment(&good, j, a, &j->q.item[i], err);
    if (st != QV_OK) return st;
    if (good) {
      j->stop = true;
      return QV_OK;
    }
  }
  j->open++;
  j->timed_out |= a->reason != NULL && strstr(a->reason, "time") != NULL;
  fprintf(stderr, "qverify: case %zu of %zu: %s\n", i + 1, j->q.n,
          a->verdict == QV_FALSIFIED ? "integers were found, but no binary32 input in the interval gives them" : a->reason != NULL ? a->reason : "open");
  return QV_OK;
}

static int conclude(job *j, qv_err *err) {
  qv_buf out = {0};
  const char *file = cli_get(j->cmd, j->val, "assignments");
  bool none = j->q.n == 0;
  qv_tally t = {.selected = none ? 0 : 1};
  qv_status st = QV_OK;
  const char *word = j->stop ? "sat" : j->open == 0 ? "unsat" : j->timed_out ? "timed-out" : "unknown";
  t.falsified = j->stop;
  t.verified = !none && !j->stop && j->open == 0;
  if (none) fprintf(stderr, "qverify: vacuous: the constraints on the inputs contradict each other in all %zu disjuncts, so nothing is claimed about the network\n", j->q.dropped);
  qv_buf_printf(&out, "%s\n", word);
  bool to_stdout = j->stop && file == NULL && cli_get(j->cmd, j->val, "serialise-assignments") == NULL;
  if (to_stdout) qv_buf_put(&out, j->result.p, j->result.n);
  if (j->stop && file != NULL) st = cli_emit(file, &j->result, err);
  if (st == QV_OK) st = cli_emit("-", &out, err);
  qv_buf_free(&out);
  return st == QV_OK ? qv_cli_exit(QV_OK, &t) : cli_fail(st, NULL, err);
}

/* NAME=FILE; version 1 has no names. */
static int network(const char **path, job *j) {
  const cli_val *v = cli_all(j->cmd, j->val, "network");
  const char *name = qv_vnnlib_network(j->text), *eq;
  if (v->n != 1) return cli_usage(j->cmd, "the query needs one --network%s%s%s, %" PRIu32 " are given", name[0] != 0 ? " " : "", name, name[0] != 0 ? "=FILE" : " FILE", v->n);
  eq = strchr(v->v[0], '=');
  bool named = eq != NULL && name[0] != 0 && strlen(name) == (size_t)(eq - v->v[0]) && strncmp(v->v[0], name, strlen(name)) == 0;
  if (name[0] != 0 && !named) return cli_usage(j->cmd, "--network %s=FILE is needed, not '%.200s'", name, v->v[0]);
  *path = named || (name[0] == 0 && eq != NULL && access(v->v[0], F_OK) != 0) ? eq + 1 : v->v[0];
  return 0;
}

static int work(job *j, const char *query, qv_err *err) {
  qv_buf b = {0};
  const char *model = NULL, *profile = cli_get(j->cmd, j->val, "profile");
  rb_session *s = NULL;
  qv_status st = qv_file_read(&b, query, (size_t)1 << 30, err);
  if (st == QV_OK) st = qv_vnnlib_read(&j->text, (const char *)b.p, b.n, err);
  qv_buf_free(&b);
  if (st != QV_OK) return cli_fail(st, query, err);
  int rc = network(&model, j);
  if (rc == 0) rc = cli_load(&j->m, j->cmd, model, profile, false, err);
  if (rc != 0) return rc;
  if ((st = qv_vnnlib_lower(&j->q, j->text, j->m.net, err)) != QV_OK) return cli_fail(st, query, err);
  if (j->q.n > 0) {
    const rb_jobs jobs = {ask, done, j, &j->stop};
    j->o.inner = j->q.n == 1 ? j->threads : 1;
    st = rb_session_open(&s, j->m.net, &j->o, err);
    if (st == QV_OK) st = rb_pool_run(s, j->q.n, j->threads, &jobs, err);
    rb_session_close(s);
    if (st != QV_OK) return cli_fail(st, model, err);
  }
  return conclude(j, err);
}

static int run(const cli_cmd *cmd, const char *const *operand, const cli_val *val) {
  static job j; /* large; zeroed */
  qv_err err = {0};
  int64_t threads;
  double start = cli_now();
  j.cmd = cmd;
  j.val = val;
  int rc = rb_options(&j.o, cmd, val);
  if (rc != 0) return rc;
  if (!cli_profile_ok(cmd, cli_get(cmd, val, "profile")) || !cli_get_int(&threads, cmd, val, "threads", 0, 1024, 0)) return QV_EXIT_USAGE;
  long cores = sysconf(_SC_NPROCESSORS_ONLN);
  j.threads = threads > 0 ? (unsigned)threads : cores > 0 ? (unsigned)cores : 1;
  if (j.o.timeout > 0) j.o.deadline = start + j.o.timeout;
  rc = work(&j, operand[0], &err);
  qv_buf_free(&j.result);
  qv_vnn_query_clear(&j.q);
  qv_vnnlib_free(j.text);
  cli_model_free(&j.m);
  return rc;
}

static const cli_opt opts[] = {
    {"network", 'n', "NAME=FILE", true, "the model that the declared network NAME stands for (version 1.0: FILE)"},
    {"profile", 'p', "NAME", false, "runtime whose arithmetic is meant (see 'qverify profiles')"},
    {"assignments", 0, "FILE", false, "write a satisfying assignment to FILE, not to standard output"},
    {"serialise-assignments", 0, "DIR", false, "write it as DIR/VARIABLE.pb, one ONNX TensorProto each"},
    RB_SOLVE_OPTS,
    {.name = NULL},
};

const cli_cmd cli_verify = {
    .name = "verify",
    .operands = "QUERY.vnnlib",
    .n_operands = 1,
    .summary = "answer a VNN-LIB query (1.0 or 2.0) about the integer network",
    .detail = "The first line is sat, unsat, unknown or timed-out, as the standard says; after sat an assignment follows that was executed "
              "and satisfies the query exactly. unsat rests on certificates that the independent checker accepted. --timeout is for the "
              "whole query. Real variables are scale * (q - zero point) where the model has a scale. Exit codes: 0 unsat, 10 sat, 5 unknown, "
              "timed-out, or unsat because the query contradicts itself.",
    .example = "qverify verify query.vnnlib --network f=model.onnx --profile onnx-ref --timeout 60",
    .opt = opts,
    .run = run,
};
