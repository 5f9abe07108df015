/* Our engines and general solvers side by side on the same queries with the same limit.
 *   smt DATA SECONDS PER_CELL [ENGINE ...]
 * Queries: the first PER_CELL correctly classified samples (by number) of each of P1-6 eps 2, P1-6 eps 4, P1-4 eps 2, P1-4 eps 4. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/robust.h"
#include "frontend/array.h"
#include "frontend/load.h"
#include "smt/smt.h"

typedef struct {
  char net[8];
  int radius, label;
  size_t id;
} row;

typedef struct {
  const char *name;
  bool ours;
  qv_smt_engine engine;
  qv_smt_encoding encoding;
} contestant;

static const contestant all[] = {{"qverify", true, QV_SMT_Z3, QV_SMT_INT},     {"z3-int", false, QV_SMT_Z3, QV_SMT_INT},
                                 {"z3-bv", false, QV_SMT_Z3, QV_SMT_BV},       {"cvc5-int", false, QV_SMT_CVC5, QV_SMT_INT},
                                 {"cvc5-bv", false, QV_SMT_CVC5, QV_SMT_BV},   {"boolector-bv", false, QV_SMT_BOOLECTOR, QV_SMT_BV},
                                 {"glpk-milp", false, QV_SMT_MILP, QV_SMT_INT}};
enum { N_ALL = sizeof all / sizeof all[0] };

typedef struct {
  int robust, broken, open, missing, easy; /* easy: decided by the encoder's intervals, no solver asked */
  double sum, solved_sum;
} tally;

static void die(const char *what) {
  fprintf(stderr, "smt: %s\n", what);
  exit(2);
}

static char *field(char **p) {
  char *f = *p, *e = f + strcspn(f, ",\n");
  *p = *e != '\0' ? e + 1 : e;
  *e = '\0';
  return f;
}

static int by_id(const void *p, const void *q) {
  const row *a = p, *b = q;
  return (a->id > b->id) - (a->id < b->id);
}

/* The queries of one cell, sorted by sample, at most `most`. */
static size_t read_cell(row *out, size_t most, const char *data, const char *net, int radius) {
  static row rows[4096];
  char path[4096], line[65536];
  size_t n = 0;
  snprintf(path, sizeof path, "%s/verif/queries_mnist.csv", data);
  FILE *f = fopen(path, "r");
  if (f == NULL || fgets(line, sizeof line, f) == NULL) die(path);
  while (n < 4096 && fgets(line, sizeof line, f) != NULL) {
    char *p = line, *c[5];
    for (int i = 0; i < 5; i++) c[i] = field(&p);
    row r = {.radius = atoi(c[1]), .id = (size_t)atol(c[2]), .label = atoi(c[3])};
    snprintf(r.net, sizeof r.net, "%s", c[0]);
    if (strcmp(c[4], "1") != 0 && strcmp(r.net, net) == 0 && r.radius == radius) rows[n++] = r;
  }
  fclose(f);
  if (n > 0) qsort(rows, n, sizeof *rows, by_id);
  size_t k = 0; /* a sample may be listed twice, by two sources */
  for (size_t i = 0; i < n && k < most; i++)
    if (k == 0 || rows[i].id != out[k - 1].id) out[k++] = rows[i];
  return k;
}

static qv_verdict ask_ours(double *t, qv_robust *rob, const qv_property *p, const int64_t *point, double seconds) {
  const qv_itv *boxes[1] = {p->in[0].itv};
  const int64_t *points[1] = {point};
  qv_robust_query q = {.box = boxes, .point = points, .cond = &p->cond};
  qv_robust_opts o = {.seconds = seconds, .max_nodes = 1000000};
  qv_robust_result r;
  qv_err err = {0};
  if (qv_robust_run(&r, rob, &q, &o, &err) != QV_OK) die(err.msg);
  qv_verdict v = r.verdict;
  *t = r.seconds;
  qv_robust_clear(&r);
  return v;
}

static qv_verdict ask(const contestant *c, double *t, bool *missing, bool *easy, const qv_net *net, const qv_property *p, double seconds) {
  qv_smt_opts o = {.engine = c->engine, .encoding = c->encoding, .seconds = seconds, .bytes = (size_t)2 << 30};
  qv_smt_result r;
  qv_err err = {0};
  qv_status st = qv_smt_solve(&r, net, p, &o, &err);
  if (st == QV_E_UNSUP) *missing = true, fprintf(stderr, "SKIPPED: %s: %s\n", c->name, err.msg);
  else if (st != QV_OK) die(err.msg);
  qv_verdict v = r.answer == QV_SMT_SAT ? QV_FALSIFIED : r.answer == QV_SMT_UNSAT ? QV_VERIFIED : QV_UNKNOWN;
  *t = r.seconds;
  *easy = r.by_interval;
  qv_smt_clear(&r);
  return v;
}

int main(int argc, char **argv) {
  if (argc < 4) die("usage: smt DATA SECONDS PER_CELL [ENGINE ...]");
  const char *data = argv[1];
  double seconds = atof(argv[2]);
  size_t per_cell = (size_t)atol(argv[3]), n = 0;
  static const struct {
    const char *net;
    int radius;
  } cell[] = {{"P1-6", 2}, {"P1-6", 4}, {"P1-4", 2}, {"P1-4", 4}};
  static row rows[400];
  if (per_cell > 100) die("at most 100 a cell");
  for (int i = 0; i < 4; i++) n += read_cell(rows + n, per_cell, data, cell[i].net, cell[i].radius);
  char path[4096], loaded[8] = "";
  qv_err err = {0};
  qv_array images = {0};
  snprintf(path, sizeof path, "%s/data/mnist/t10k-images-idx3-ubyte.gz", data);
  if (qv_array_read(&images, path, &err) != QV_OK) die(err.msg);
  qv_net *net = NULL;
  qv_robust *rob = NULL;
  tally total[N_ALL] = {0};
  int conflicts = 0;
  for (size_t i = 0; i < n; i++) {
    if (strcmp(loaded, rows[i].net) != 0) {
      qv_robust_free(rob);
      qv_net_free(net);
      snprintf(path, sizeof path, "%s/verif/int_nets/%s.qtxt", data, rows[i].net);
      if (qv_load_model(&net, path, &(qv_load_opts){0}, &err) != QV_OK || qv_robust_new(&rob, net, &err) != QV_OK) die(err.msg);
      snprintf(loaded, sizeof loaded, "%s", rows[i].net);
    }
    int64_t point[784];
    qv_property p;
    if ((rows[i].id + 1) * 784 > images.count || qv_property_whole(&p, net, 0, &err) != QV_OK) die("samples");
    p.claim = QV_CLAIM_ROBUST;
    p.cond = (qv_condition){.kind = QV_KEEP_FIRST, .cls = (uint32_t)rows[i].label};
    p.in[0].n = 784;
    if ((p.in[0].itv = QV_NEW(&p.arena, 784, qv_itv)) == NULL) die("no memory");
    const unsigned char *img = (const unsigned char *)images.data + rows[i].id * 784;
    for (size_t e = 0; e < 784; e++) {
      point[e] = img[e];
      p.in[0].itv[e] = (qv_itv){qv_max64(0, img[e] - rows[i].radius), qv_min64(255, img[e] + rows[i].radius)};
    }
    qv_verdict seen = QV_UNKNOWN;
    printf("%s eps %d sample %-5zu", rows[i].net, rows[i].radius, rows[i].id);
    for (int k = 0; k < N_ALL; k++) {
      bool wanted = argc == 4;
      for (int a = 4; a < argc; a++) wanted = wanted || strcmp(argv[a], all[k].name) == 0;
      if (!wanted || total[k].missing > 0) continue;
      double t = 0;
      bool missing = false, easy = false;
      qv_verdict v = all[k].ours ? ask_ours(&t, rob, &p, point, seconds) : ask(&all[k], &t, &missing, &easy, net, &p, seconds);
      total[k].missing += missing;
      total[k].easy += easy;
      total[k].robust += v == QV_VERIFIED;
      total[k].broken += v == QV_FALSIFIED;
      total[k].open += v == QV_UNKNOWN && !missing;
      total[k].sum += t;
      if (v != QV_UNKNOWN) total[k].solved_sum += t;
      conflicts += v != QV_UNKNOWN && seen != QV_UNKNOWN && v != seen;
      if (v != QV_UNKNOWN) seen = v;
      printf("  %s %c %.2f", all[k].name, v == QV_VERIFIED ? 'R' : v == QV_FALSIFIED ? 'F' : '-', t);
      fflush(stdout);
    }
    printf("\n");
    qv_property_clear(&p);
  }
  printf("\n| solver | solved of %zu | of these by intervals alone | robust | falsified | open | time, all | time, solved "
         "|\n|---|---|---|---|---|---|---|---|\n",
         n);
  for (int k = 0; k < N_ALL; k++)
    if (total[k].missing > 0) printf("| %s | SKIPPED: not installed | | | | | | |\n", all[k].name);
    else if (total[k].robust + total[k].broken + total[k].open > 0)
      printf("| %s | %d | %d | %d | %d | %d | %.1f s | %.1f s |\n", all[k].name, total[k].robust + total[k].broken, total[k].easy,
             total[k].robust, total[k].broken, total[k].open, total[k].sum, total[k].solved_sum);
  printf("disagreements: %d\n", conflicts);
  qv_robust_free(rob);
  qv_net_free(net);
  qv_array_free(&images);
  return conflicts > 0;
}
