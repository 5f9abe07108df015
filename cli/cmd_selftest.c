/* qverify selftest: known answers and planted counterexamples, on the user's own machine and build. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/checker.h"
#include "cli/cli.h"
#include "ir/base/rng.h"
#include "ir/qir.h"
#include "kernels/exec.h"
#include "kernels/ref.h"
#include "kernels/step.h"

/* Two bytes x0, x1; sums 30 x0 + 127 x1 + 20 (at most 40,055) and x0 - 2 x1; one step each: value / 256, rounded. %d: accumulator bits. */
static const char NET[] =
    "qir 1\nsource \"\"\nsha256 \"\"\nprofile \"\"\nformat \"qir\"\nnotes 0\ntensors 3\n"
    "tensor 0 name \"x\" type u8 dims 2 1 2 scale none const no\ntensor 1 name \"acc\" type i32 dims 2 1 2 scale none const no\n"
    "tensor 2 name \"y\" type i16 dims 2 1 2 scale none const no\ninputs 1\ninput 0 tensor 0 lo 0 hi 255 end int name \"x\"\nnodes 2\n"
    "node 0 affine op \"FC\" layer 0 in 1 0 out 1\nwindow n 1 ih 1 iw 1 ic 2 oh 1 ow 1 oc 2 kh 1 kw 1 sh 1 sw 1 dh 1 dw 1 pt 0 pl 0 groups "
    "1\n"
    "acc wrap bits %d order kernel bias last form corrected\nx_zp 0\nw_zp 1 0\nb 20 0\nw\n30 127\n1 -2\n"
    "node 1 step op \"FC\" layer 0 in 1 1 out 2\nstep in_zp 0 lshift 0 out_zp 0 lo -32768 hi 32767 inner 1\nidx none\npar 1\nRQ_S 1 23\n"
    "outputs 1\noutput 0 tensor 2 end int name \"y\" tail none\nend\n";

/* x0 in [200,255], x1 in [LO,255]: is element 0 of the output the first maximum? 30 x0 + 127 x1 is at least 6,000 with x1 >= 0. */
static const char PROPERTY[] = "qvp 1\nclaim robust\ninput 0 elements 2\n200 255\n0 255\nkeep first %d output 0\nend\n";

/* Two groups; within a size of 3 only b with c is left, within 2.5 nothing. */
static const char TABLE[] = "{\"format\":\"qverify-table/1\",\"name\":\"\",\"costs\":[\"size\"],\"groups\":["
                            "{\"name\":\"g\",\"candidates\":[{\"name\":\"a\",\"precision\":\"8\",\"loss\":\"0\",\"cost\":{\"size\":\"4\"}},"
                            "{\"name\":\"b\",\"precision\":\"4\",\"loss\":\"1/3\",\"cost\":{\"size\":\"2\"}}]},"
                            "{\"name\":\"h\",\"candidates\":[{\"name\":\"c\",\"precision\":\"4\",\"loss\":\"1\",\"cost\":{\"size\":\"1\"}},"
                            "{\"name\":\"d\",\"precision\":\"8\",\"loss\":\"0\",\"cost\":{\"size\":\"2\"}}]}],"
                            "\"limits\":{\"size\":\"3\"}}";

typedef struct {
  qv_buf out;
  char dir[64], self[4096];
  uint32_t n, bad;
} test;

static void say(test *t, bool good, const char *what) {
  t->n++;
  t->bad += !good;
  qv_buf_printf(&t->out, "%s  %s\n", good ? "ok    " : "FAILED", what);
}

static bool put(test *t, const char *name, const char *text, size_t n, char path[200]) {
  (void)snprintf(path, 200, "%s/%s", t->dir, name);
  return qv_file_write(path, text, n, NULL) == QV_OK;
}

/* This program on these arguments: its exit code, -1 if it cannot be run. */
static int self(test *t, const char *const *args) {
  char *argv[12] = {0};
  int status, i = 0;
  pid_t pid = -1;
  if ((argv[0] = strdup("qverify")) == NULL) return -1;
  for (; args[i] != NULL && i < 10; i++) argv[i + 1] = strdup(args[i]);
  if ((pid = fork()) == 0) {
    int null = open("/dev/null", O_RDWR);
    if (null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0 || dup2(null, 2) < 0) _exit(127);
    execv(t->self, argv);
    _exit(127);
  }
  bool ended = pid > 0 && waitpid(pid, &status, 0) == pid;
  for (int k = 0; k <= i; k++) free(argv[k]);
  return ended && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void rounding(test *t) {
  static const struct {
    qv_rq_par p;
    int64_t v, y;
  } row[] = {{{.fn = QV_RQ_D, .m = 1583594044, .sh = -9}, 7984, 12},
             {{.fn = QV_RQ_S, .m = 1583594044, .sh = -9}, 7984, 11},
             {{.fn = QV_RQ_D, .m = 1 << 30, .sh = -1}, -6, -2},
             {{.fn = QV_RQ_S, .m = 1 << 30, .sh = -1}, -6, -1},
             {{.fn = QV_RQ_D, .m = 1373157221, .sh = 0}, -966241705, -617840222}};
  bool good = true;
  for (size_t i = 0; i < sizeof row / sizeof *row; i++) good = good && qv_rq_eval(&row[i].p, row[i].v, 0) == row[i].y;
  say(t, good, "requantization: published vectors of double and single rounding");
}

/* Every instruction set of this machine against the reference kernels. */
static void kernels(test *t) {
  static const qv_isa isa[] = {QV_ISA_PORTABLE, QV_ISA_AVX2, QV_ISA_AVX512VNNI};
  char text[sizeof NET + 8];
  qv_net *net = NULL;
  qv_values v = {0};
  int n = snprintf(text, sizeof text, NET, 32);
  bool made = qv_qir_read(&net, text, (size_t)n, NULL) == QV_OK && qv_values_init(&v, net, NULL) == QV_OK;
  for (size_t k = 0; k < sizeof isa / sizeof *isa; k++) {
    qv_plan *p = NULL;
    qv_rng r = {k};
    bool good = made;
    char what[80];
    if (made && qv_plan_new(&p, net, isa[k], NULL) != QV_OK) continue; /* not on this machine */
    for (int i = 0; good && i < 200; i++) {
      unsigned char x[2];
      int16_t y[2];
      for (int e = 0; e < 2; e++) v.v[0][e] = x[e] = (unsigned char)qv_rng_range(&r, 0, 255);
      good = qv_plan_run(p, 1, (const void *const[]){x}, (void *const[]){y}, 1, NULL) == QV_OK && qv_ref_run(net, &v, NULL) == QV_OK &&
             v.v[2][0] == y[0] && v.v[2][1] == y[1];
    }
    (void)snprintf(what, sizeof what, "kernels: %s equals the reference", qv_isa_name(isa[k]));
    say(t, good, what);
    qv_plan_free(p);
  }
  qv_values_clear(&v);
  qv_net_free(net);
}

static void verdicts(test *t) {
  char text[sizeof NET + 8], wide[200], narrow[200], keep0[200], keep1[200], cert[200];
  int n = snprintf(text, sizeof text, NET, 32);
  bool good = put(t, "wide.qir", text, (size_t)n, wide);
  n = snprintf(text, sizeof text, NET, 16);
  good = put(t, "narrow.qir", text, (size_t)n, narrow) && good;
  n = snprintf(text, sizeof text, PROPERTY, 0);
  good = put(t, "keep0.qvp", text, (size_t)n, keep0) && good;
  n = snprintf(text, sizeof text, PROPERTY, 1);
  good = put(t, "keep1.qvp", text, (size_t)n, keep1) && good;
  (void)snprintf(cert, sizeof cert, "%s/proof.qvc", t->dir);
  if (!good) {
    say(t, false, "temporary files");
    return;
  }
  say(t, self(t, (const char *const[]){"overflow", wide, "--certificate", cert, NULL}) == 0,
      "overflow: a safe network is proved, and the independent checker accepts");
  say(t, self(t, (const char *const[]){"overflow", narrow, NULL}) == 10, "overflow: a planted overflow is found and executed");
  say(t, self(t, (const char *const[]){"check", cert, NULL}) == 0, "certificate: accepted by itself");
  qv_buf c = {0};
  if (qv_file_read(&c, cert, 1 << 20, NULL) == QV_OK) { /* every other byte of a few, changed */
    bool caught = c.n > 200;
    for (size_t at = 100; caught && at < c.n; at += c.n / 5) {
      c.p[at] ^= 1;
      caught = put(t, "proof.qvc", (const char *)c.p, c.n, cert) && self(t, (const char *const[]){"check", cert, NULL}) != 0;
      c.p[at] ^= 1;
    }
    say(t, caught, "certificate: changed bytes are noticed");
  } else say(t, false, "certificate: cannot be read back");
  qv_buf_free(&c);
  say(t, self(t, (const char *const[]){"robust", wide, "--property", keep0, NULL}) == 0,
      "robustness: a true statement is proved, and the independent checker accepts");
  say(t, self(t, (const char *const[]){"robust", wide, "--property", keep1, NULL}) == 10,
      "robustness: a planted counterexample is found and executed");
}

/* Samples (228,128) and (0,1): sums 30 x0 + 127 x1 + 20 and x0 - 2 x1, rounded after / 256: 90 against 0, and 1 against 0. The first keeps class 0 up to
 * 28 steps at least (x0 >= 200), the second does not keep it: at (0,0) both are 0, and the kept element must be the largest with a margin of 1. */
static void radii(test *t) {
  char wide[200], samples[200];
  static const char data[] = {(char)228, (char)128, 0, 1};
  (void)snprintf(wide, sizeof wide, "%s/wide.qir", t->dir);
  if (!put(t, "samples.bin", data, sizeof data, samples)) {
    say(t, false, "temporary files");
    return;
  }
  say(t,
      self(t, (const char *const[]){"radius", wide, "--input", samples, "--index", "0", "--at-least", "28", "--max-eps", "40", NULL}) == 0,
      "radius: a known radius is certified");
  say(t, self(t, (const char *const[]){"robust", wide, "--input", samples, "--index", "1", "--eps", "1", "--margin", "1", NULL}) == 10,
      "radius: a step that changes the answer is found and executed");
}

static void allocations(test *t) {
  char table[200];
  if (!put(t, "table.json", TABLE, sizeof TABLE - 1, table)) {
    say(t, false, "temporary files");
    return;
  }
  say(t, self(t, (const char *const[]){"allocate", table, NULL}) == 0,
      "allocation: an optimum is proved, and the independent checker accepts");
  say(t, self(t, (const char *const[]){"allocate", table, "--limit", "size=2.5", NULL}) == 10,
      "allocation: limits that nothing keeps are proved to be such");
}

static void clean(test *t) {
  static const char *const name[] = {"samples.bin", "table.json", "wide.qir",  "narrow.qir", "keep0.qvp",
                                     "keep1.qvp",   "proof.qvc",  "proof.qir", "proof.qvp"};
  char path[200];
  for (size_t i = 0; i < sizeof name / sizeof *name; i++) {
    (void)snprintf(path, sizeof path, "%s/%s", t->dir, name[i]);
    (void)unlink(path);
  }
  (void)rmdir(t->dir);
}

static int run(const cli_cmd *cmd, const char *const *operand, const cli_val *val) {
  test t = {.dir = "/tmp/qverify-selftest.XXXXXX"};
  qv_err err = {0};
  (void)cmd, (void)operand, (void)val;
  ssize_t k = readlink("/proc/self/exe", t.self, sizeof t.self - 1);
  if (k <= 0 || mkdtemp(t.dir) == NULL) return cli_fail(QV_FAIL(&err, QV_E_INTERNAL, "no temporary folder, or no /proc"), NULL, &err);
  rounding(&t);
  kernels(&t);
  verdicts(&t);
  radii(&t);
  allocations(&t);
  clean(&t);
  qv_buf_printf(&t.out, "%u of %u as expected\n", t.n - t.bad, t.n);
  qv_status st = cli_emit("-", &t.out, &err);
  qv_buf_free(&t.out);
  if (st == QV_OK && t.bad > 0) st = QV_FAIL(&err, QV_E_INTERNAL, "%u self-tests failed: trust nothing on this machine", t.bad);
  return st == QV_OK ? 0 : cli_fail(st, NULL, &err);
}

static const cli_opt opts[] = {{.name = NULL}};

const cli_cmd cli_selftest = {
    .name = "selftest",
    .operands = "",
    .n_operands = 0,
    .summary = "known answers and planted counterexamples, on this machine",
    .detail = "Runs requantization vectors, the kernels of every instruction set of this machine, and whole proofs and refutations with "
              "the independent checker. Exit code 0 only if every answer is the known one.",
    .example = "qverify selftest",
    .opt = opts,
    .run = run,
};
