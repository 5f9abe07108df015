#include "cli/opt.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Levenshtein distance of two short words; words longer than the table count as far apart. */
static size_t distance(const char *a, const char *b) {
  enum { MAX = 40 };
  size_t n = strlen(a), m = strlen(b), row[MAX + 1];
  if (n > MAX || m > MAX) return SIZE_MAX;
  for (size_t j = 0; j <= m; j++) row[j] = j;
  for (size_t i = 1; i <= n; i++) {
    size_t diag = row[0];
    row[0] = i;
    for (size_t j = 1; j <= m; j++) {
      size_t up = row[j], best = diag + (a[i - 1] != b[j - 1]);
      if (up + 1 < best) best = up + 1;
      if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
      diag = up;
      row[j] = best;
    }
  }
  return row[m];
}

const char *cli_nearest(const char *word, const char *const *list, size_t n) {
  const char *best = NULL;
  size_t best_d = strlen(word) / 3 + 2; /* farther than this is no help */
  for (size_t i = 0; i < n; i++) {
    size_t d = distance(word, list[i]);
    if (strlen(word) >= 3 && strncmp(word, list[i], strlen(word)) == 0) d = 1; /* a prefix is near */
    if (d < best_d) {
      best_d = d;
      best = list[i];
    }
  }
  return best;
}

int cli_usage(const cli_cmd *cmd, const char *fmt, ...) {
  char msg[600];
  qv_arena a = {0};
  va_list ap;
  va_start(ap, fmt);
  (void)vsnprintf(msg, sizeof msg, fmt, ap);
  va_end(ap);
  fprintf(stderr, "qverify: %s\n", cli_safe(&a, msg));
  fprintf(stderr, "Try 'qverify %s%s--help'.\n", cmd != NULL ? cmd->name : "", cmd != NULL ? " " : "");
  qv_arena_clear(&a);
  return QV_EXIT_USAGE;
}

static size_t n_opts(const cli_cmd *cmd) {
  size_t n = 0;
  while (cmd->opt[n].name != NULL) n++;
  return n;
}

const cli_val *cli_all(const cli_cmd *cmd, const cli_val *val, const char *name) {
  for (size_t i = 0; cmd->opt[i].name != NULL; i++)
    if (strcmp(cmd->opt[i].name, name) == 0) return &val[i];
  QV_CHECK(false); /* a name that is not in the command's table */
  return &val[0];
}

const char *cli_get(const cli_cmd *cmd, const cli_val *val, const char *name) {
  const cli_val *v = cli_all(cmd, val, name);
  return v->n > 0 ? v->v[0] : NULL;
}

bool cli_get_int(int64_t *out, const cli_cmd *cmd, const cli_val *val, const char *name, int64_t lo, int64_t hi, int64_t dflt) {
  const char *s = cli_get(cmd, val, name);
  *out = dflt;
  if (s == NULL) return true;
  char *end;
  errno = 0;
  long long v = strtoll(s, &end, 10);
  if (*s == 0 || strchr(" \t\n\r\f\v", *s) != NULL || *end != 0 || errno != 0 || v < lo || v > hi) {
    (void)cli_usage(cmd, "--%s takes a whole number from %" PRId64 " to %" PRId64 ", not '%s'", name, lo, hi, s);
    return false;
  }
  *out = v;
  return true;
}

static int unknown_option(const cli_cmd *cmd, const char *given) {
  const char *names[CLI_MAX_OPTS + 1];
  char word[64];
  size_t n = n_opts(cmd);
  for (size_t i = 0; i < n; i++) names[i] = cmd->opt[i].name;
  names[n] = "help";
  (void)snprintf(word, sizeof word, "%s", given + strspn(given, "-"));
  word[strcspn(word, "=")] = 0;
  const char *near = cli_nearest(word, names, n + 1);
  if (near == NULL) return cli_usage(cmd, "unknown option '%.80s'", given);
  return cli_usage(cmd, "unknown option '%.80s'; did you mean '--%s'?", given, near);
}

/* The option that `a` ("--name", "--name=value", "-x", "-xvalue") stands for; its attached value in *value, or NULL. */
static const cli_opt *match(const cli_cmd *cmd, const char *a, const char **value) {
  bool longform = a[1] == '-';
  size_t len = longform ? strcspn(a + 2, "=") : 1;
  for (const cli_opt *o = cmd->opt; o->name != NULL; o++) {
    if (longform ? strlen(o->name) != len || strncmp(o->name, a + 2, len) != 0 : o->letter == 0 || o->letter != a[1]) continue;
    *value = longform ? (a[2 + len] == '=' ? a + 3 + len : NULL) : (a[2] != 0 ? a + 2 : NULL);
    return o;
  }
  return NULL;
}

int cli_parse(cli_args *out, const cli_cmd *cmd, int argc, char **argv) {
  uint32_t n = 0;
  bool options = true;
  QV_CHECK(n_opts(cmd) <= CLI_MAX_OPTS && cmd->n_operands <= CLI_MAX_OPERANDS);
  for (int i = 0; i < argc; i++) {
    const char *a = argv[i], *value = NULL;
    if (options && strcmp(a, "--") == 0) {
      options = false;
      continue;
    }
    if (!options || a[0] != '-' || a[1] == 0) {
      if (n == cmd->n_operands)
        return cli_usage(cmd, "%s takes %s; '%.200s' is too much", cmd->name, cmd->n_operands > 0 ? cmd->operands : "no operand", a);
      out->operand[n++] = a;
      continue;
    }
    if (strcmp(a, "--help") == 0 || strcmp(a, "-h") == 0) {
      out->help = true;
      return 0;
    }
    const cli_opt *o = match(cmd, a, &value);
    if (o == NULL) return unknown_option(cmd, a);
    if (o->arg == NULL && value != NULL) return cli_usage(cmd, "--%s takes no value", o->name);
    if (o->arg != NULL && value == NULL) {
      if (++i == argc) return cli_usage(cmd, "--%s needs a value (%s)", o->name, o->arg);
      value = argv[i];
    }
    cli_val *v = &out->val[o - cmd->opt];
    if (v->n > 0 && !o->many) return cli_usage(cmd, "--%s is given twice", o->name);
    if (v->n == CLI_MAX_REPEAT) return cli_usage(cmd, "--%s is given more than %d times", o->name, CLI_MAX_REPEAT);
    v->v[v->n++] = value != NULL ? value : "";
  }
  if (n < cmd->n_operands) return cli_usage(cmd, "%s needs %s", cmd->name, cmd->operands);
  return 0;
}

void cli_help(qv_buf *out, const cli_cmd *cmd) {
  qv_buf_printf(out, "Usage: qverify %s %s%s[options]\n\n", cmd->name, cmd->operands, cmd->operands[0] != 0 ? " " : "");
  cli_wrap(out, cmd->summary, 0, 79);
  qv_buf_str(out, "\n");
  cli_wrap(out, cmd->detail, 0, 79);
  qv_buf_str(out, "\nOptions:\n");
  for (const cli_opt *o = cmd->opt; o->name != NULL; o++) {
    char head[64];
    int k = snprintf(head, sizeof head, "  %c%c%s--%s%s%s", o->letter != 0 ? '-' : ' ', o->letter != 0 ? o->letter : ' ',
                     o->letter != 0 ? ", " : "  ", o->name, o->arg != NULL ? " " : "", o->arg != NULL ? o->arg : "");
    qv_buf_printf(out, "%-26s%s", head, k > 25 ? "  " : "");
    cli_wrap(out, o->help, 26, 79);
  }
  qv_buf_printf(out, "  -h, --help              this text\n\nExample:\n  %s\n", cmd->example);
}
