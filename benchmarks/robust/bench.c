/* Robustness of the fixed-point MNIST nets against published verdicts: counts and times per net and radius.
 *   robust DATA aaai21|refuted|NET[:RADIUS] [SECONDS [MAX_NODES]]
 *   robust DATA tflite/FILE.tflite:PROFILE:EPS[:COUNT[:WHERE]] [SECONDS [MAX_NODES]]
 * The second form takes the net's own test data and perturbs WHERE: all (default), patch (4x4 pixels), frame (10 features of one
 * instant), pixel (its channels); the place moves from sample to sample.
 * With CHECKER=PATH every verdict's certificate is written and checked; checking time is reported beside.
 * Environment: V=1 one line for each query that took long or stayed open; THREADS=N; EVERY=N only every N-th query. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "analysis/robust_evidence.h"
#include "frontend/array.h"
#include "frontend/load.h"
#include "ir/property.h"
#include "ir/qir.h"

typedef struct {
  char net[8], verdict[24];
  int radius, label, target; /* target: published counterexample's class, -1 */
  size_t id;
} row;

typedef struct {
  int n, robust, broken, open, conflict, contradicted, by[8];
  double sum, worst, check, check_worst; /* s */
  size_t bytes;                          /* of the largest certificate */
} tally;

static void die(const char *what) {
  fprintf(stderr, "robust: %s\n", what);
  exit(2);
}

static char *field(char **p) {
  char *f = *p, *e = f + strcspn(f, ",\n");
  *p = *e != '\0' ? e + 1 : e;
  *e = '\0';
  return f;
}

static int by_net_radius(const void *p, const void *q) {
  const row *a = p, *b = q;
  int c = strcmp(a->net, b->net);
  if (c == 0) c = (a->radius > b->radius) - (a->radius < b->radius);
  return c != 0 ? c : (a->id > b->id) - (a->id < b->id);
}

/* Rows of `set`, skipping misclassified samples. */
static size_t read_rows(row **out, const char *data, const char *set) {
  char path[4096], line[65536];
  bool refuted = strcmp(set, "refuted") == 0, aaai = strcmp(set, "aaai21") == 0;
  snprintf(path, sizeof path, "%s/verif/%s", data, refuted ? "qvip_refuted_P2-8.csv.gz" : "queries_mnist.csv");
  gzFile f = gzopen(path, "rb");
  if (f == NULL || gzgets(f, line, sizeof line) == NULL) die(path);
  size_t n = 0, cap = 0;
  *out = NULL;
  while (gzgets(f, line, sizeof line) != NULL) {
    char *p = line, *c[10];
    for (int i = 0; i < 10; i++) c[i] = field(&p);
    row r = {.target = -1};
    snprintf(r.net, sizeof r.net, "%s", c[0]);
    if (refuted) {
      r.radius = atoi(c[3]), r.id = (size_t)atol(c[4]), r.label = atoi(c[5]);
      snprintf(r.verdict, sizeof r.verdict, "%s", c[8]);
    } else {
      char want[32];
      r.radius = atoi(c[1]), r.id = (size_t)atol(c[2]), r.label = atoi(c[3]);
      if (strcmp(c[4], "1") == 0) continue;
      snprintf(want, sizeof want, "%s:%d", r.net, r.radius);
      if (aaai ? c[5][0] == '\0' : strcmp(set, r.net) != 0 && strcmp(set, want) != 0) continue;
      /* ids of the Table 3 rows of P1-6 and P3-6 are not aligned with their verdicts: only the ids are used */
      bool usable = aaai || strstr(c[9], "not aligned") == NULL;
      snprintf(r.verdict, sizeof r.verdict, "%s", !usable ? "" : aaai ? c[5] : c[6]);
    }
    if (n == cap) {
      cap = cap == 0 ? 256 : 2 * cap;
      if ((*out = realloc(*out, cap * sizeof **out)) == NULL) die("no memory");
    }
    (*out)[n++] = r;
  }
  gzclose(f);
  if (n > 0) qsort(*out, n, sizeof **out, by_net_radius);
  return n;
}

static void print(const char *name, const tally *t) {
  printf("%-10s %4d queries: %4d robust %4d falsified %4d open | sum %8.2f s, max %6.2f s |", name, t->n, t->robust, t->broken, t->open,
         t->sum, t->worst);
  for (int e = 1; e < 8; e++)
    if (t->by[e] > 0) printf(" %s %d", qv_robust_engine_name((qv_robust_engine)e), t->by[e]);
  if (getenv("CHECKER") != NULL) printf(" | checked in %.2f s, max %.2f s, %zu bytes", t->check, t->check_worst, t->bytes);
  printf(" | published robust but falsified %d, CONFLICTS %d\n", t->contradicted, t->conflict);
}

/* ---- certificates ------------------------------------------------------------------------------------------------------- */

static const char *folder = "/dev/shm"; /* certificates live in main memory */
static double last_check;
static size_t last_bytes;

static void put_file(const char *name, const qv_buf *b) {
  char path[256];
  snprintf(path, sizeof path, "%s/bench-%d.%s", folder, (int)getpid(), name);
  FILE *f = fopen(path, "wb");
  if (f == NULL || fwrite(b->p, 1, b->n, f) != b->n || fclose(f) != 0) die(path);
}

/* Write the certificate of a decided query on one input of `n` elements and have it checked. */
static void certify(const qv_robust *r, const qv_robust_query *q, const qv_robust_result *res, size_t n) {
  const char *checker = getenv("CHECKER");
  last_check = 0;
  last_bytes = 0;
  if (checker == NULL || res->verdict == QV_UNKNOWN) return;
  const qv_net *net = qv_robust_graph(r)->net;
  static const qv_net *written;
  static char net_sha[QV_SHA256_HEX];
  char prop_sha[QV_SHA256_HEX], command[1024];
  qv_err err = {0};
  qv_buf prop = {0}, cert = {0};
  qv_property p;
  if (written != net) {
    qv_buf qir = {0};
    if (qv_qir_write(&qir, net, &err) != QV_OK) die(err.msg);
    qv_sha256_hex(net_sha, qir.p, qir.n);
    put_file("qir", &qir);
    qv_buf_free(&qir);
    written = net;
  }
  if (qv_property_whole(&p, net, 0, &err) != QV_OK) die(err.msg);
  p.claim = QV_CLAIM_ROBUST;
  p.cond = *q->cond;
  p.in[0].n = n;
  if ((p.in[0].itv = QV_NEW(&p.arena, n, qv_itv)) == NULL) die("no memory");
  memcpy(p.in[0].itv, q->box[0], n * sizeof(qv_itv));
  if (qv_property_write(&prop, &p, &err) != QV_OK) die(err.msg);
  qv_sha256_hex(prop_sha, prop.p, prop.n);
  if (qv_robust_certificate(&cert, r, q, res, net_sha, prop_sha, &err) != QV_OK) die(err.msg);
  put_file("qvp", &prop);
  put_file("qvc", &cert);
  last_bytes = cert.n;
  snprintf(command, sizeof command, "%s %s/bench-%d.qir %s/bench-%d.qvp %s/bench-%d.qvc >%s/bench-%d.out", checker, folder, (int)getpid(),
           folder, (int)getpid(), folder, (int)getpid(), folder, (int)getpid());
  double start = qv_clock();
  int status = system(command);
  last_check = qv_clock() - start;
  if (status != 0) {
    fprintf(stderr, "REJECTED: %s\n", command);
    exit(1);
  }
  qv_property_clear(&p);
  qv_buf_free(&prop);
  qv_buf_free(&cert);
}

static void count(tally *t, const qv_robust_result *res, const char *published) {
  bool said_robust = strcasecmp(published, "robust") == 0;
  bool said_not = strncasecmp(published, "non", 3) == 0 || strncasecmp(published, "not", 3) == 0 || strncasecmp(published, "vuln", 4) == 0;
  t->n++;
  t->robust += res->verdict == QV_VERIFIED;
  t->broken += res->verdict == QV_FALSIFIED;
  t->open += res->verdict == QV_UNKNOWN;
  t->contradicted += said_robust && res->verdict == QV_FALSIFIED;
  t->conflict += said_not && res->verdict == QV_VERIFIED;
  t->by[res->engine]++;
  t->sum += res->seconds;
  if (res->seconds > t->worst) t->worst = res->seconds;
  t->check += last_check;
  if (last_check > t->check_worst) t->check_worst = last_check;
  if (last_bytes > t->bytes) t->bytes = last_bytes;
}

static void show(const char *name, size_t id, const qv_robust_result *res, const char *published) {
  if (getenv("V") == NULL || (res->verdict != QV_UNKNOWN && res->seconds <= 0.2)) return;
  printf("  %s id %zu: %s by %s, margin %.3g (inputs move %.3g, rounding loses %.3g, clamps %.3g), %u nodes, %.2f s%s%s\n", name, id,
         qv_verdict_name(res->verdict), qv_robust_engine_name(res->engine), res->margin, res->loss.input, res->loss.noise, res->loss.kink,
         res->nodes, res->seconds, published[0] != '\0' ? " published " : "", published);
  fflush(stdout);
}

/* Samples as int8 inputs of a net, and their labels. */
typedef struct {
  size_t n, elements;
  int8_t *x;
  int *label;
} samples;

static void room(samples *s, size_t n, size_t elements) {
  s->n = n;
  s->elements = elements;
  s->x = calloc(n * elements, 1);
  s->label = calloc(n, sizeof *s->label);
  if (s->x == NULL || s->label == NULL) die("no memory");
}

/* Lines of numbers: class, then pixels 0..255. */
static void read_cifar(samples *s, const char *data) {
  char path[4096], *line = NULL;
  size_t cap = 0;
  room(s, 100, 3072);
  snprintf(path, sizeof path, "%s/data/eran/cifar10_test.csv", data);
  FILE *f = fopen(path, "r");
  if (f == NULL) die(path);
  for (size_t i = 0; i < s->n && getline(&line, &cap, f) > 0; i++) {
    char *p = line;
    s->label[i] = (int)strtol(p, &p, 10);
    for (size_t e = 0; e < s->elements; e++) s->x[i * s->elements + e] = (int8_t)(strtol(p + 1, &p, 10) - 128);
  }
  free(line);
  fclose(f);
}

static void read_kws(samples *s, const char *data) {
  char path[4096], line[256];
  room(s, 1000, 490);
  snprintf(path, sizeof path, "%s/data/mlperf_tiny/kws01_features_int8.bin", data);
  FILE *f = fopen(path, "rb");
  if (f == NULL || fread(s->x, 490, s->n, f) != s->n) die(path);
  fclose(f);
  snprintf(path, sizeof path, "%s/data/mlperf_tiny/kws01_labels.csv", data);
  if ((f = fopen(path, "r")) == NULL) die(path);
  for (size_t i = 0; i < s->n && fgets(line, sizeof line, f) != NULL; i++) { /* file, classes, class */
    char *p = strrchr(line, ',');
    s->label[i] = p != NULL ? atoi(p + 1) : -1;
  }
  fclose(f);
}

static void read_mnist(samples *s, const char *data) {
  qv_err err = {0};
  qv_array images = {0}, labels = {0};
  char path[4096];
  snprintf(path, sizeof path, "%s/data/mnist/t10k-images-idx3-ubyte.gz", data);
  if (qv_array_read(&images, path, &err) != QV_OK) die(err.msg);
  snprintf(path, sizeof path, "%s/data/mnist/t10k-labels-idx1-ubyte.gz", data);
  if (qv_array_read(&labels, path, &err) != QV_OK) die(err.msg);
  room(s, 10000, 784);
  for (size_t i = 0; i < s->n; i++) s->label[i] = ((const unsigned char *)labels.data)[i];
  for (size_t i = 0; i < s->n * 784; i++) s->x[i] = (int8_t)(((const unsigned char *)images.data)[i] - 128);
  qv_array_free(&images);
  qv_array_free(&labels);
}

/* Is element e of sample `id` perturbed? */
static bool chosen(const char *where, size_t id, size_t e, size_t elements) {
  if (strcmp(where, "patch") == 0) { /* of 28x28 */
    size_t y = e / 28, x = e % 28, y0 = 6 + id * 7 % 12, x0 = 6 + id * 5 % 12;
    return y >= y0 && y < y0 + 4 && x >= x0 && x < x0 + 4;
  }
  if (strcmp(where, "frame") == 0) return e / 10 == (id * 11 + 20) % 49;
  if (strcmp(where, "pixel") == 0) return e / 3 == (id * 97 + 500) % (elements / 3);
  return true;
}

/* Boxes around the first correctly classified samples of an int8 TFLite net. */
static int real_net(const char *data, const char *set, const qv_robust_opts *opts) {
  char file[256], profile[64], path[4096], where[16] = "all";
  int eps, most = 100;
  if (sscanf(set, "%255[^:]:%63[^:]:%d:%d:%15s", file, profile, &eps, &most, where) < 3) die("FILE:PROFILE:EPS[:COUNT[:WHERE]]");
  qv_err err = {0};
  qv_net *net;
  qv_robust *rob;
  samples s = {0};
  if (strstr(file, "kws") != NULL) read_kws(&s, data);
  else if (strstr(file, "Resnet") != NULL) read_cifar(&s, data);
  else read_mnist(&s, data);
  snprintf(path, sizeof path, "%s/%s", data, file);
  double start = qv_clock();
  if (qv_load_model(&net, path, &(qv_load_opts){.profile = profile}, &err) != QV_OK || qv_robust_new(&rob, net, &err) != QV_OK)
    die(err.msg);
  double prepare = qv_clock() - start;
  if (qv_elems(&net->tensor[net->in[0].tensor]) != s.elements) die("the samples are not this net's");
  tally all = {0};
  qv_itv *box = calloc(s.elements, sizeof *box);
  int64_t *point = calloc(s.elements, sizeof *point);
  if (box == NULL || point == NULL) die("no memory");
  for (size_t id = 0; all.n < most && id < s.n; id++) {
    for (size_t e = 0; e < s.elements; e++) {
      point[e] = s.x[id * s.elements + e];
      box[e] = (qv_itv){point[e], point[e]};
    }
    const qv_itv *boxes[1] = {box};
    const int64_t *points[1] = {point};
    qv_condition cond = {.kind = QV_KEEP_FIRST, .cls = (uint32_t)s.label[id]};
    qv_robust_query q = {.n_points = 1, .points = points, .cond = &cond};
    qv_robust_result res;
    if (qv_robust_run(&res, rob, &q, opts, &err) != QV_OK) die(err.msg);
    bool right = res.verdict == QV_VERIFIED;
    qv_robust_clear(&res);
    if (!right) continue;
    for (size_t e = 0; e < s.elements; e++)
      if (chosen(where, id, e, s.elements)) box[e] = (qv_itv){qv_max64(-128, point[e] - eps), qv_min64(127, point[e] + eps)};
    q = (qv_robust_query){.box = boxes, .point = points, .cond = &cond};
    if (qv_robust_run(&res, rob, &q, opts, &err) != QV_OK) die(err.msg);
    certify(rob, &q, &res, s.elements);
    count(&all, &res, "");
    show(strrchr(set, '/') + 1, id, &res, "");
    qv_robust_clear(&res);
  }
  print(strrchr(set, '/') + 1, &all);
  if (prepare > 0.5) printf("  prepared in %.2f s\n", prepare);
  qv_robust_free(rob);
  qv_net_free(net);
  free(s.x);
  free(s.label);
  free(box);
  free(point);
  return 0;
}

int main(int argc, char **argv) {
  if (argc < 3) die("usage: robust DATA aaai21|refuted|NET[:RADIUS]|FILE.tflite:PROFILE:EPS[:COUNT] [SECONDS [MAX_NODES]]");
  const char *data = argv[1];
  qv_robust_opts opts = {.seconds = argc > 3 ? atof(argv[3]) : 5, .max_nodes = argc > 4 ? (uint32_t)atol(argv[4]) : 1000000};
  opts.threads = getenv("THREADS") != NULL ? (uint32_t)atoi(getenv("THREADS")) : 1;
  opts.evidence = getenv("EVIDENCE") != NULL || getenv("CHECKER") != NULL;
  opts.attack_rounds = getenv("ATTACK") != NULL ? (uint32_t)atol(getenv("ATTACK")) : 0;
  opts.seed = getenv("SEED") != NULL ? (uint64_t)atol(getenv("SEED")) : 0;
  size_t every = getenv("EVERY") != NULL ? (size_t)atol(getenv("EVERY")) : 1;
  if (strstr(argv[2], ".tflite") != NULL) return real_net(data, argv[2], &opts);
  row *rows;
  size_t n = read_rows(&rows, data, argv[2]);
  char path[4096];
  qv_err err = {0};
  qv_array images = {0};
  snprintf(path, sizeof path, "%s/data/mnist/t10k-images-idx3-ubyte.gz", data);
  if (qv_array_read(&images, path, &err) != QV_OK) die(err.msg);
  qv_net *net = NULL;
  qv_robust *rob = NULL;
  char loaded[8] = "";
  tally all = {0}, part = {0};
  char name[32] = "", now[32];
  for (size_t i = 0; i < n; i += every) {
    const row *r = &rows[i];
    if (strcmp(loaded, r->net) != 0) {
      qv_robust_free(rob);
      qv_net_free(net);
      snprintf(path, sizeof path, "%s/verif/int_nets/%s.qtxt", data, r->net);
      if (qv_load_model(&net, path, &(qv_load_opts){0}, &err) != QV_OK || qv_robust_new(&rob, net, &err) != QV_OK) die(err.msg);
      snprintf(loaded, sizeof loaded, "%s", r->net);
    }
    snprintf(now, sizeof now, "%s r=%d", r->net, r->radius);
    if (strcmp(now, name) != 0 && strcmp(argv[2], "aaai21") != 0) {
      if (part.n > 0) print(name, &part);
      part = (tally){0};
    }
    snprintf(name, sizeof name, "%s", now);
    size_t m = qv_elems(&net->tensor[net->in[0].tensor]);
    qv_itv box[784];
    int64_t point[784];
    const unsigned char *img = (const unsigned char *)images.data + r->id * 784;
    if (m != 784 || (r->id + 1) * 784 > images.count) die("not an MNIST net");
    for (size_t e = 0; e < m; e++) {
      point[e] = img[e];
      box[e] = (qv_itv){qv_max64(0, img[e] - r->radius), qv_min64(255, img[e] + r->radius)};
    }
    const qv_itv *boxes[1] = {box};
    const int64_t *points[1] = {point};
    qv_condition cond = {.kind = QV_KEEP_FIRST, .cls = (uint32_t)r->label};
    qv_robust_query q = {.box = boxes, .point = points, .cond = &cond};
    qv_robust_result res;
    if (qv_robust_run(&res, rob, &q, &opts, &err) != QV_OK) die(err.msg);
    certify(rob, &q, &res, 784);
    count(&all, &res, r->verdict);
    count(&part, &res, r->verdict);
    show(name, r->id, &res, r->verdict);
    qv_robust_clear(&res);
  }
  if (strcmp(argv[2], "aaai21") != 0 && part.n > 0) print(name, &part);
  print("all", &all);
  qv_robust_free(rob);
  qv_net_free(net);
  qv_array_free(&images);
  free(rows);
  return all.conflict > 0;
}
