/* Time to the certified optimum and to whole fronts on synthetic tables shaped like layers; qverify-check is timed on the same certificates.
 *   bench CHECKER [GROUPS WIDTHS ROWS PERCENT TABLES]... */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ilp/alloc.h"
#include "ir/base/rng.h"

static double now(void) {
  struct timespec t;
  (void)clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Sensitivities over four decades, errors about 4^-bits, parameter and MAC counts as of convolutional nets; further rows at random. */
static void make(qv_buf *out, qv_rng *r, int groups, int widths, int rows) {
  static const int64_t width[] = {8, 6, 4, 2, 3, 5, 7};
  qv_buf_str(out, "{\"format\":\"qverify-table/1\",\"costs\":[");
  for (int m = 0; m < rows; m++) qv_buf_printf(out, "%s\"c%d\"", m > 0 ? "," : "", m);
  qv_buf_str(out, "],\"groups\":[");
  for (int g = 0; g < groups; g++) {
    int64_t params = qv_rng_range(r, 100, 2400000), macs = qv_rng_range(r, 1000000, 200000000), sens = (int64_t)1 << qv_rng_range(r, 0, 13);
    qv_buf_printf(out, "%s{\"name\":\"g%d\",\"candidates\":[", g > 0 ? "," : "", g);
    for (int c = 0; c < widths; c++) {
      int64_t b = width[c % 7];
      qv_buf_printf(out, "%s{\"name\":\"%" PRId64 "\",\"loss\":\"%" PRId64 "e-12\",\"cost\":{", c > 0 ? "," : "", b,
                    sens * ((int64_t)1 << (2 * (8 - b))) * qv_rng_range(r, 700, 1400));
      for (int m = 0; m < rows; m++)
        qv_buf_printf(out, "%s\"c%d\":\"%" PRId64 "\"", m > 0 ? "," : "", m,
                      m == 0 ? params * b : m == 1 ? macs * b * b : macs / 1000 * (b + 2) * qv_rng_range(r, 700, 1200));
      qv_buf_str(out, "}}");
    }
    qv_buf_str(out, "]}");
  }
  qv_buf_str(out, "]}");
}

/* Seconds of the checker on two files, or -1 if it does not accept. */
static double check(const char *checker, const qv_alloc *p, const qv_buf *cert) {
  char qap[] = "/tmp/qv-bench-XXXXXX", qva[] = "/tmp/qv-bench-XXXXXX", command[4600];
  qv_buf text = {0};
  if (mkstemp(qap) < 0 || mkstemp(qva) < 0 || qv_alloc_text(&text, p, NULL) != QV_OK) return -1;
  if (qv_file_write(qap, text.p, text.n, NULL) != QV_OK || qv_file_write(qva, cert->p, cert->n, NULL) != QV_OK) return -1;
  (void)snprintf(command, sizeof command, "'%s' alloc %s %s >/dev/null", checker, qap, qva);
  double t = now();
  int rc = system(command);
  t = now() - t;
  (void)unlink(qap);
  (void)unlink(qva);
  qv_buf_free(&text);
  return rc == 0 ? t : -1;
}

typedef struct {
  double sum, most;
} stat;

static void add(stat *s, double v) {
  s->sum += v;
  if (v > s->most) s->most = v;
}

int main(int argc, char **argv) {
  qv_rng r = {2026};
  printf("%-34s %22s %22s %20s %18s\n", "problem (seed 2026)", "optimum+certificate", "checker", "nodes", "certificate");
  for (int i = 2; i + 4 < argc; i += 5) {
    int groups = atoi(argv[i]), widths = atoi(argv[i + 1]), rows = atoi(argv[i + 2]), percent = atoi(argv[i + 3]), tables = atoi(argv[i + 4]);
    bool fronts = percent == 0; /* fronts of c0, no limits */
    stat solve = {0}, judge = {0}, nodes = {0}, bytes = {0};
    for (int k = 0; k < tables; k++) {
      qv_buf text = {0};
      qv_atable t = {0};
      qv_alloc *p = NULL;
      make(&text, &r, groups, widths, rows);
      if (qv_atable_read(&t, (const char *)text.p, text.n, NULL, NULL) != QV_OK) return 1;
      for (int m = 0; m < rows && !fronts; m++) {
        t.limit[m].kind = QV_LIMIT_PERCENT;
        mpq_set_si(t.limit[m].v, percent, 1);
      }
      if (qv_alloc_build(&p, &t, NULL) != QV_OK) return 1;
      qv_alloc_result a = {0};
      qv_alloc_front f = {0};
      double start = now();
      qv_status st = fronts ? qv_alloc_front_solve(&f, p, 0, &(qv_alloc_opts){0}, NULL) : qv_alloc_solve(&a, p, &(qv_alloc_opts){0}, NULL);
      add(&solve, now() - start);
      if (st != QV_OK || (fronts ? f.state : a.state) == QV_ALLOC_UNKNOWN) {
        printf("a table was not solved\n");
        return 1;
      }
      double c = check(argv[1], p, fronts ? &f.cert : &a.cert);
      if (c < 0) {
        printf("a certificate was not accepted\n");
        return 1;
      }
      add(&judge, c);
      add(&nodes, fronts ? (double)f.n : (double)a.nodes);
      add(&bytes, (double)(fronts ? f.cert.n : a.cert.n));
      qv_alloc_result_clear(&a);
      qv_alloc_front_clear(&f);
      qv_alloc_free(p);
      qv_atable_free(&t);
      qv_buf_free(&text);
    }
    char name[80];
    if (fronts) (void)snprintf(name, sizeof name, "%d groups x %d, front (nodes: points)", groups, widths);
    else (void)snprintf(name, sizeof name, "%d groups x %d, %d limits at %d %%", groups, widths, rows, percent);
    printf("%-34s %9.4f max %7.4f s %9.4f max %7.4f s %7.0f max %7.0f %9.0f bytes\n", name, solve.sum / tables, solve.most, judge.sum / tables, judge.most,
           nodes.sum / tables, nodes.most, bytes.sum / tables);
  }
  return 0;
}
