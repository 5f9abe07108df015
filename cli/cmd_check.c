/* qverify check: a friendly front to the independent checker. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/checker.h"

/* A certificate of an allocation? Then the checker takes "alloc", the problem and the certificate. */
static bool allocation(const char *cert) {
  size_t n = strlen(cert);
  return n > 4 && strcmp(cert + n - 4, ".qva") == 0;
}

/* NAME.qir and NAME.qvp beside NAME.qvc, unless given. */
static char *beside(const char *cert, const char *ext) {
  size_t n = strlen(cert);
  size_t stem = n > 4 && (strcmp(cert + n - 4, ".qvc") == 0 || allocation(cert)) ? n - 4 : n;
  char *s = malloc(stem + strlen(ext) + 1);
  if (s == NULL) return NULL;
  memcpy(s, cert, stem);
  memcpy(s + stem, ext, strlen(ext) + 1);
  return s;
}

/* The file `name` in the folder of `path`. NULL: no memory. */
static char *with_name(const char *path, const char *name) {
  const char *slash = strrchr(path, '/');
  size_t n = slash != NULL ? (size_t)(slash - path) + 1 : 0;
  char *s = malloc(n + strlen(name) + 1);
  if (s == NULL) return NULL;
  memcpy(s, path, n);
  memcpy(s + n, name, strlen(name) + 1);
  return s;
}

static bool exists(const char *path) {
  FILE *f = fopen(path, "rb");
  if (f != NULL) (void)fclose(f);
  return f != NULL;
}

static bool said(const qv_buf *text, const char *line) { return text->n > 0 && memmem(text->p, text->n, line, strlen(line)) != NULL; }

static int run(const cli_cmd *cmd, const char *const *operand, const cli_val *val) {
  const char *qir = cli_get(cmd, val, "net"), *qvp = cli_get(cmd, val, "property");
  bool alloc = allocation(operand[0]);
  char *qir_own = beside(operand[0], ".qir"), *qvp_own = beside(operand[0], alloc ? ".qap" : ".qvp");
  qv_buf text = {0};
  qv_err err = {0};
  int code = -1, rc;
  char *shared = with_name(operand[0], "net.qir");
  if (qir_own == NULL || qvp_own == NULL) {
    rc = cli_fail(QV_FAIL(&err, QV_E_NOMEM, "out of memory"), NULL, &err);
    goto done;
  }
  if (alloc) {
    qvp = qir != NULL ? qir : qvp_own;
    qir = "alloc";
  }
  if (qir == NULL) qir = !exists(qir_own) && shared != NULL && exists(shared) ? shared : qir_own;
  if (qvp == NULL) qvp = exists(qvp_own) ? qvp_own : "-";
  qv_status st = cli_run_checker(&code, &text, qir, qvp, operand[0], &err);
  if (st == QV_OK) st = cli_emit("-", &text, &err);
  if (st != QV_OK) {
    rc = cli_fail(st, NULL, &err);
    goto done;
  }
  /* accepted: did it claim a proof? 2: unusable input; anything else: not accepted */
  bool proof = code == 0 && (said(&text, "c verdict verified\n") || (alloc && (said(&text, "c optimum ") || said(&text, "c front "))));
  bool refuted = code == 0 && (said(&text, "c verdict falsified\n") || (alloc && said(&text, "c infeasible\n")));
  const qv_tally tally = {.selected = 1, .verified = proof && !refuted, .falsified = refuted};
  if (code != 0) {
    qv_arena a = {0};
    fprintf(stderr, "qverify: %s: not accepted by qverify-check (exit %d)\n", cli_safe(&a, operand[0]), code);
    qv_arena_clear(&a);
  }
  rc = code == 0 ? qv_cli_exit(QV_OK, &tally) : qv_cli_exit(code == 2 ? QV_E_PARSE : QV_E_INTERNAL, NULL);
done:
  qv_buf_free(&text);
  free(shared);
  free(qir_own);
  free(qvp_own);
  return rc;
}

static const cli_opt opts[] = {
    {"net", 'n', "FILE", false, "the .qir; default: CERTIFICATE with .qir in place of .qvc, else net.qir beside it. Of a .qva: its .qap"},
    {"property", 'P', "FILE", false, "the .qvp, or '-' for the default property; default: CERTIFICATE with .qvp if that exists, else '-'"},
    {.name = NULL},
};

const cli_cmd cli_check = {
    .name = "check",
    .operands = "CERTIFICATE",
    .n_operands = 1,
    .summary = "let the independent checker re-check a certificate",
    .detail = "Runs qverify-check, a separate program that shares no code with the prover, and prints what it says. Exit codes: 0 accepted "
              "and the claim is a proof, 10 accepted and the claim is a counterexample, 5 accepted but the claim is only 'unknown' or trusts a solver, "
              "2 unusable input, 6 rejected.",
    .example = "qverify overflow model.tflite --certificate model.qvc && qverify check model.qvc",
    .opt = opts,
    .run = run,
};
