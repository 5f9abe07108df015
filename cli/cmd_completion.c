/* qverify completion: what a shell can complete, out of the commands' own tables. */
#include <string.h>

#include "cli/cli.h"

static void words(qv_buf *out, const cli_cmd *c) {
  for (const cli_opt *o = c->opt; o->name != NULL; o++) qv_buf_printf(out, " --%s", o->name);
  qv_buf_str(out, " --help");
}

static void bash(qv_buf *out) {
  qv_buf_str(out, "_qverify() {\n  local cur=${COMP_WORDS[COMP_CWORD]} i command=\n  for ((i = 1; i < COMP_CWORD; i++)); do case ${COMP_WORDS[i]} in -*) ;; *) command=${COMP_WORDS[i]}; break ;; esac; done\n"
                  "  case $command in\n  '') COMPREPLY=($(compgen -W '");
  for (size_t i = 0; cli_commands[i] != NULL; i++) qv_buf_printf(out, "%s ", cli_commands[i]->name);
  qv_buf_str(out, "--help --version' -- \"$cur\")) ;;\n");
  for (size_t i = 0; cli_commands[i] != NULL; i++) {
    qv_buf_printf(out, "  %s) [[ $cur == -* ]] && COMPREPLY=($(compgen -W '", cli_commands[i]->name);
    words(out, cli_commands[i]);
    qv_buf_str(out, "' -- \"$cur\")) ;;\n");
  }
  qv_buf_str(out, "  esac\n}\ncomplete -o default -o bashdefault -F _qverify qverify\n");
}

static void fish(qv_buf *out) {
  for (size_t i = 0; cli_commands[i] != NULL; i++) {
    const cli_cmd *c = cli_commands[i];
    qv_buf_printf(out, "complete -c qverify -n __fish_use_subcommand -a %s\n", c->name);
    for (const cli_opt *o = c->opt; o->name != NULL; o++)
      qv_buf_printf(out, "complete -c qverify -n '__fish_seen_subcommand_from %s' -l %s%s\n", c->name, o->name, o->arg != NULL ? " -r" : "");
  }
}

static int run(const cli_cmd *cmd, const char *const *operand, const cli_val *val) {
  qv_buf out = {0};
  qv_err err = {0};
  (void)val;
  if (strcmp(operand[0], "bash") == 0) bash(&out);
  else if (strcmp(operand[0], "fish") == 0) fish(&out);
  else return cli_usage(cmd, "no completion for '%.40s'; bash (also for zsh, with bashcompinit) and fish are known", operand[0]);
  qv_status st = cli_emit("-", &out, &err);
  qv_buf_free(&out);
  return st == QV_OK ? 0 : cli_fail(st, NULL, &err);
}

static const cli_opt opts[] = {{.name = NULL}};

const cli_cmd cli_completion = {
    .name = "completion",
    .operands = "SHELL",
    .n_operands = 1,
    .summary = "a script that lets the shell complete commands and options",
    .detail = "SHELL is bash or fish.",
    .example = "source <(qverify completion bash)",
    .opt = opts,
    .run = run,
};
