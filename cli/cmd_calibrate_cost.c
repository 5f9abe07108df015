/* qverify calibrate-cost: how long our kernels take for every layer of a network at every width, on this machine. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "analysis/facts.h"
#include "cli/allocnet.h"
#include "cli/qverify.h"
#include "cli/storage.h"
#include "ir/base/json.h"
#include "ir/base/rng.h"
#include "kernels/exec.h"

#define LEAST_RUN 2e-3                  /* seconds: a run is as many samples as take this long */
#define MOST_BYTES ((size_t)16 << 20)   /* of one run's inputs */
#define DIFFERENT 16                    /* samples; they repeat */
#define MOST_SAMPLES ((size_t)1 << 16)

/* One kernel of one layer, with the candidates that run on it. */
typedef struct {
  uint32_t node;
  const char *kernel;
  bool wide;         /* 16-bit codes */
  bool by_weights;   /* its work depends on the weights, so it is measured for each candidate by itself */
  const char **cand;
  uint32_t n;
  int64_t median, low, high, least; /* picoseconds; low and high: quartiles */
  size_t samples;
} measured;

typedef struct {
  const cli_cmd *cmd;
  const cli_val *val;
  cli_allocnet net;
  qv_isa isa;
  int64_t runs;
  measured *m;
  uint32_t n;
  uint32_t unsafe; /* layer and candidate pairs that are not proved safe */
  qv_arena arena;
  qv_err *err;
} job;

static int by_size(const void *a, const void *b) {
  int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
  return x < y ? -1 : x > y;
}

/* Processor time: what other programs do in between does not count. */
static double cpu_seconds(void) {
  struct timespec t = {0, 0};
  (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Seconds of one run of n samples. */
static qv_status run_once(double *seconds, qv_plan *plan, size_t n, const void *in, void *out, qv_err *err) {
  double t = cpu_seconds();
  qv_status st = qv_plan_run(plan, n, (const void *const[]){in}, (void *const[]){out}, 1, err);
  *seconds = cpu_seconds() - t;
  return st;
}

static qv_status measure(measured *m, qv_plan *plan, const qv_net *net, int64_t runs, qv_err *err) {
  const qv_tensor *x = &net->tensor[net->in[0].tensor], *y = &net->tensor[net->out[0].tensor];
  size_t in_bytes = qv_elems(x) * qv_dtype_bytes(x->type), out_bytes = qv_elems(y) * qv_dtype_bytes(y->type), n = 1,
         most = MOST_BYTES / in_bytes + 1;
  qv_rng r = {1};
  double s = 0;
  qv_status st = QV_OK;
  if (most > MOST_SAMPLES) most = MOST_SAMPLES;
  unsigned char *in = malloc(most * in_bytes), *out = malloc(most * out_bytes + 1);
  int64_t *ps = calloc((size_t)runs, sizeof *ps);
  if (in == NULL || out == NULL || ps == NULL) {
    st = QV_FAIL(err, QV_E_NOMEM, "out of memory");
    goto done;
  }
  for (size_t e = 0; e < (most < DIFFERENT ? most : DIFFERENT) * qv_elems(x); e++) {
    int64_t v = qv_rng_range(&r, x->lo, x->hi);
    qv_store(in + e * qv_dtype_bytes(x->type), x->type, &v, 1);
  }
  for (size_t i = DIFFERENT; i < most; i++) memcpy(in + i * in_bytes, in + (i % DIFFERENT) * in_bytes, in_bytes);
  QV_TRY(run_once(&s, plan, 1, in, out, err)); /* warm */
  for (;; n = 2 * n < most ? 2 * n : most) {
    QV_TRY(run_once(&s, plan, n, in, out, err));
    if (s >= LEAST_RUN || n == most) break;
  }
  for (int64_t i = 0; i < runs; i++) {
    QV_TRY(run_once(&s, plan, n, in, out, err));
    ps[i] = (int64_t)(s * 1e12 / (double)n + 0.5);
  }
  qsort(ps, (size_t)runs, sizeof *ps, by_size);
  m->least = ps[0], m->low = ps[runs / 4], m->median = ps[runs / 2], m->high = ps[runs - 1 - runs / 4];
  m->samples = n;
done:
  free(in);
  free(out);
  free(ps);
  return st;
}

/* The plan that a candidate with this accumulator runs on: the executor's own choice, and with narrow accumulators or pairs what the proof
 * allows it beyond that. */
static qv_status plan_of(qv_plan **plan, const job *j, const qv_net *net, qv_accum acc) {
  qv_proof proof = {0};
  qv_arena arena = {0};
  const qv_plan_fact *fact = NULL;
  qv_status st;
  if (acc.bits > 16 && !acc.pairs) return qv_plan_new(plan, net, j->isa, j->err);
  QV_TRY(qv_prove_overflow(&proof, net, NULL, &(qv_prove_opts){.work = 1}, j->err));
  QV_TRY(qv_proof_facts(&fact, &arena, net, &proof, j->err));
  QV_TRY(qv_plan_new_proved(plan, net, j->isa, fact, j->err));
done:
  qv_proof_clear(&proof);
  qv_arena_clear(&arena);
  return st;
}

static measured *known(job *j, const measured *like) {
  for (uint32_t i = 0; i < j->n; i++)
    if (!like->by_weights && j->m[i].node == like->node && j->m[i].wide == like->wide && strcmp(j->m[i].kernel, like->kernel) == 0)
      return &j->m[i];
  return NULL;
}

static qv_status one(job *j, const qv_quantized *q, uint32_t k, qv_bits b, qv_accum acc) {
  qv_net *net = NULL;
  qv_plan *plan = NULL;
  qv_acc machine = qv_accum_machine((qv_accum){32, false}); /* the profiles' own: a narrower choice is a fact about its sums */
  qv_itv range;
  bool safe;
  int bits;
  char *name = QV_NEW(&j->arena, QV_CAND_NAME, char);
  qv_status st = name != NULL ? QV_OK : QV_FAIL(j->err, QV_E_NOMEM, "out of memory");
  if (st != QV_OK) return st;
  qv_cand_name(name, b, &acc, true);
  QV_TRY(qv_layer_safe(&safe, &range, &bits, q, k, acc, j->err));
  if (!safe) {
    j->unsafe++;
    goto done;
  }
  QV_TRY(qv_layer_net(&net, q, k, &machine, true, j->err));
  QV_TRY(plan_of(&plan, j, net, acc));
  const char *kernel = qv_plan_kernel(plan, 0);
  measured like = {.node = k, .kernel = kernel, .wide = b.a > 8, .by_weights = strstr(kernel, "in 16 bits") != NULL}, *m = known(j, &like);
  if (m == NULL) {
    m = &j->m[j->n];
    *m = like;
    m->kernel = qv_arena_str(&j->arena, kernel, strlen(kernel));
    m->cand = QV_NEW(&j->arena, (size_t)CLI_MAX_CANDS * CLI_MAX_ACCS, const char *);
    if (m->kernel == NULL || m->cand == NULL) {
      st = QV_FAIL(j->err, QV_E_NOMEM, "out of memory");
      goto done;
    }
    QV_TRY(measure(m, plan, net, j->runs, j->err));
    j->n++;
  }
  m->cand[m->n++] = name;
done:
  qv_plan_free(plan);
  qv_net_free(net);
  return st;
}

static qv_status all(job *j) {
  const qv_fgraph *g = j->net.f.g;
  qv_quantized q = {0};
  int *a = calloc((size_t)g->n_tensors + 1, sizeof *a), *w = calloc((size_t)g->n_nodes + 1, sizeof *w),
      *bits = calloc((size_t)g->n_nodes + 1, sizeof *bits);
  qv_status st = QV_OK;
  j->m = QV_NEW(&j->arena, (size_t)g->n_nodes * CLI_MAX_CANDS * CLI_MAX_ACCS, measured);
  if (a == NULL || w == NULL || bits == NULL || j->m == NULL) {
    st = QV_FAIL(j->err, QV_E_NOMEM, "out of memory");
    goto done;
  }
  for (uint32_t i = 0; i < j->net.n_cand; i++) {
    for (uint32_t t = 0; t < g->n_tensors; t++) a[t] = j->net.cand[i].a;
    for (uint32_t k = 0; k < g->n_nodes; k++) w[k] = j->net.cand[i].w;
    for (uint32_t c = 0; c < j->net.n_acc; c++) {
      qv_quant_opts o = j->net.f.quant;
      qv_err none = {0};
      for (uint32_t k = 0; k < g->n_nodes; k++) bits[k] = j->net.acc[c].bits;
      if (j->net.fit) o.node_acc_bits = bits;
      st = qv_quantize(&q, g, &j->net.f.calib, a, w, &o, &none);
      if (st == QV_E_UNSUP && j->net.fit) { /* as in the allocation's table: then as it is */
        qv_quantized_clear(&q);
        o.node_acc_bits = NULL;
        QV_TRY(qv_quantize(&q, g, &j->net.f.calib, a, w, &o, j->err));
      } else if (st != QV_OK) {
        *j->err = none;
        goto done;
      }
      for (uint32_t k = 0; k < g->n_nodes; k++)
        if (qv_quant_linear(&g->node[k])) QV_TRY(one(j, &q, k, j->net.cand[i], j->net.acc[c]));
      qv_quantized_clear(&q);
    }
  }
done:
  qv_quantized_clear(&q);
  free(a);
  free(w);
  free(bits);
  return st;
}

/* ---- output ------------------------------------------------------------------------------------------------------------------- */

static const char *ns(qv_arena *a, int64_t ps) {
  const char *s = qv_arena_printf(a, "%" PRId64 ".%03d", ps / 1000, (int)(ps % 1000));
  return s != NULL ? s : "?";
}

static const char *joined(qv_arena *a, const measured *m) {
  const char *s = "";
  for (uint32_t i = 0; i < m->n; i++) {
    const char *t = qv_arena_printf(a, "%s%s%s", s, i > 0 ? " " : "", m->cand[i]);
    s = t != NULL ? t : s;
  }
  return s;
}

static void text(qv_buf *out, job *j, const char *cpu) {
  const qv_fgraph *g = j->net.f.g;
  cli_table t = {0};
  static const char *const head[] = {"layer", "kernel", "median us", "quartiles", "candidates"};
  qv_buf_printf(out, "%s; %s, one thread, processor time, median of %" PRId64 " runs of at least 2 ms each\n\n", cli_safe(&j->arena, cpu),
                qv_isa_name(j->isa), j->runs);
  for (int c = 0; c < 5; c++) cli_col(&t, head[c], c == 2 || c == 3);
  for (uint32_t k = 0; k < g->n_nodes; k++)
    for (uint32_t i = 0; i < j->n; i++) {
      const measured *m = &j->m[i];
      if (m->node != k) continue;
      cli_cell(&t, "%.40s", cli_safe(&j->arena, g->node[k].name));
      cli_cell(&t, "%s", m->kernel);
      cli_cell(&t, "%.2f", (double)m->median * 1e-6);
      cli_cell(&t, "%.2f..%.2f", (double)m->low * 1e-6, (double)m->high * 1e-6);
      cli_cell(&t, "%s", joined(&j->arena, m));
    }
  cli_table_print(out, &t);
  qv_buf_str(out, "\nCandidates on one line run on the same kernel: a narrower code is no faster here.\n");
  if (j->unsafe > 0)
    qv_buf_printf(out, "%" PRIu32 " pairs of layer and candidate are left out: their accumulator is not proved safe.\n", j->unsafe);
}

static cJSON *strings(const char *const *s, uint32_t n) {
  cJSON *a = cJSON_CreateArray();
  for (uint32_t i = 0; i < n; i++) (void)qv_json_push(a, cJSON_CreateString(s[i]));
  return a;
}

static bool add_measured(cJSON *list, qv_arena *a, const measured *m, int64_t runs) {
  cJSON *o = cJSON_CreateObject();
  const char *quartiles[2] = {ns(a, m->low), ns(a, m->high)};
  bool ok = qv_json_add_str(o, "kernel", m->kernel);
  ok = qv_json_add(o, "candidates", strings(m->cand, m->n)) && ok;
  ok = qv_json_add_str(o, "median", ns(a, m->median)) && ok;
  ok = qv_json_add(o, "quartiles", strings(quartiles, 2)) && ok;
  ok = qv_json_add_str(o, "least", ns(a, m->least)) && ok;
  ok = qv_json_add_num(o, "runs", (int32_t)runs) && ok;
  ok = qv_json_add_num(o, "samples", (int32_t)m->samples) && ok;
  return qv_json_push(list, o) && ok;
}

static qv_status table(qv_buf *out, job *j, const char *cpu, const char *path) {
  const qv_fgraph *g = j->net.f.g;
  cJSON *root = cJSON_CreateObject(), *layers = cJSON_CreateArray();
  bool ok = qv_json_add_str(root, "format", "qverify-latency/1");
  ok = qv_json_add_str(root, "cpu", cpu) && ok;
  ok = qv_json_add_str(root, "isa", qv_isa_name(j->isa)) && ok;
  ok = qv_json_add_num(root, "threads", 1) && ok;
  ok = qv_json_add_str(root, "unit", "ns") && ok;
  ok = qv_json_add_str(root, "tool", qverify_version()) && ok;
  ok = qv_json_add_str(root, "network", strrchr(path, '/') != NULL ? strrchr(path, '/') + 1 : path) && ok;
  ok = qv_json_add_str(root, "note",
                       "processor time of one sample through the layer and its requantization to 8 bits, input checked and result stored; "
                       "candidates of one entry run "
                       "on the same kernel, so that a narrower code is no faster") &&
       ok;
  for (uint32_t k = 0; k < g->n_nodes; k++) {
    char shape[160];
    if (!qv_quant_linear(&g->node[k])) continue;
    cJSON *o = cJSON_CreateObject(), *list = cJSON_CreateArray();
    qv_layer_shape(shape, g, k);
    for (uint32_t i = 0; i < j->n; i++)
      if (j->m[i].node == k) ok = add_measured(list, &j->arena, &j->m[i], j->runs) && ok;
    ok = qv_json_add_str(o, "layer", g->node[k].name) && ok;
    ok = qv_json_add_str(o, "shape", shape) && ok;
    ok = qv_json_add(o, "measured", list) && ok;
    ok = qv_json_push(layers, o) && ok;
  }
  ok = qv_json_add(root, "layers", layers) && ok;
  qv_status st = ok ? qv_json_print(out, root, true, j->err) : QV_FAIL(j->err, QV_E_NOMEM, "out of memory");
  qv_buf_str(out, "\n");
  cJSON_Delete(root);
  return st;
}

/* "model name" of the first processor, or "unknown". */
static const char *cpu_name(qv_arena *a) {
  qv_buf f = {0};
  const char *name = NULL, *key = "model name";
  if (qv_file_read(&f, "/proc/cpuinfo", 1 << 24, NULL) == QV_OK) {
    for (const char *p = (const char *)f.p, *end = p + f.n; p < end && name == NULL;) {
      const char *nl = memchr(p, '\n', (size_t)(end - p)), *colon = memchr(p, ':', (size_t)((nl != NULL ? nl : end) - p));
      if (nl == NULL) nl = end;
      if ((size_t)(nl - p) > strlen(key) && memcmp(p, key, strlen(key)) == 0 && colon != NULL && colon + 2 < nl)
        name = qv_arena_str(a, colon + 2, (size_t)(nl - colon - 2));
      p = nl + 1;
    }
  }
  qv_buf_free(&f);
  return name != NULL ? name : "unknown";
}

static int isa_of(qv_isa *isa, const cli_cmd *cmd, const char *name) {
  *isa = qv_isa_detect();
  if (name == NULL) return 0;
  for (qv_isa i = QV_ISA_PORTABLE; i <= QV_ISA_AVX512VNNI; i++)
    if (strcmp(name, qv_isa_name(i)) == 0) {
      *isa = i;
      return 0;
    }
  return cli_usage(cmd, "--isa is portable, avx2 or avx512vnni, not '%.40s'", name);
}

static int run(const cli_cmd *cmd, const char *const *operand, const cli_val *val) {
  qv_err err = {0};
  qv_buf out = {0}, file = {0};
  job j = {.cmd = cmd, .val = val, .err = &err};
  const char *to = cli_get(cmd, val, "output"), *cpu;
  qv_status st = QV_OK;
  int rc = QV_EXIT_USAGE;
  if (!cli_get_int(&j.runs, cmd, val, "runs", 3, 100000, 21)) goto done;
  if ((rc = isa_of(&j.isa, cmd, cli_get(cmd, val, "isa"))) != 0 || (rc = cli_allocnet_widths(&j.net, cmd, val)) != 0) goto done;
  if ((rc = cli_floatnet_load(&j.net.f, cmd, val, operand[0], &err)) != 0) goto done;
  cpu = cpu_name(&j.arena);
  if ((st = all(&j)) != QV_OK) goto done;
  text(&out, &j, cpu);
  if (to != NULL) {
    if ((st = table(&file, &j, cpu, operand[0])) != QV_OK || (st = cli_emit(to, &file, &err)) != QV_OK) goto done;
  }
  if (to == NULL || strcmp(to, "-") != 0) st = cli_emit("-", &out, &err);
done:
  if (st != QV_OK) rc = cli_fail(st, operand[0], &err);
  qv_buf_free(&out);
  qv_buf_free(&file);
  cli_allocnet_free(&j.net);
  qv_arena_clear(&j.arena);
  return rc != 0 ? rc : qv_cli_exit(QV_OK, NULL);
}

static const cli_opt opts[] = {
    CLI_FLOATNET_OPTS,
    CLI_CANDIDATE_OPTS,
    {"isa", 0, "NAME", false, "portable, avx2 or avx512vnni (default: the best of this machine)"},
    {"runs", 0, "N", false, "runs of every kernel (default 21)"},
    {"output", 'o', "FILE", false, "the latency table, for 'qverify allocate --latency'; '-' writes it to standard output in place of the text"},
    {.name = NULL},
};

const cli_cmd cli_calibrate_cost = {
    .name = "calibrate-cost",
    .operands = "FLOAT",
    .n_operands = 1,
    .summary = "measure how long each layer takes at each width on this machine",
    .detail = "Every layer of a float ONNX or TFLite network is quantized at every candidate width and run as the executor runs it, with "
              "the kernel that it picks; "
              "candidates with accumulators of at most 16 bits, or behind pairs, run on what their overflow proof allows. The table "
              "(docs/quantize.md section 7) says which "
              "candidates share a kernel, and on which processor and instruction set it was measured.",
    .example = "qverify calibrate-cost model.onnx --calib train.npy --acc-bits 32,16 -o latency.json",
    .opt = opts,
    .run = run,
};
