# Every code that the programs print has an explanation: exit codes, words of verdicts and states, kinds of obligations.
. "$(dirname "$0")/lib.sh"
for c in 0 1 2 3 5 6 10 126 127 134 137; do t "explain $c" 0 explain $c; done
# Words in capitals in string literals of the program, but for what is no code: operands, options' arguments, file formats, SQL, signals, operators.
no_code='MODEL FLOAT QUANT TABLE FILE MANIFEST QUERY CERTIFICATE COMMAND SHELL VALUE VALUES LIMIT INDEX PATTERN SECONDS CLAIM PRECISION VARIABLE BASENAME FIELDS CHECKER
SELECT WHERE DELETE PRAGMA EXISTS CREATE PRIMARY INSERT IMMEDIATE ROLLBACK COMMIT BEGIN WITHOUT ROWID ORDER INTEGER UPDATE IGNORE NORMAL REPLACE UNIQUE
TMPDIR XDG_CACHE_HOME COMP_WORDS COMP_CWORD COMPREPLY XXXXXX SIGKILL SIGABRT SARIF JUNIT DOCTYPE SOFTMAX LOG_SOFTMAX CHECK SUMMARY COVERS REPAIR ASCII HTTPS SHA FLT_EVAL_METHOD INNER PROPERTY SCORE'
n=0
for w in $(sed 's/^ *#include.*//; s/\\./ /g' cli/*.c check/*.c | grep -ohE '"[^"]*"' | grep -oE '(^|[^A-Za-z_.])[A-Z][A-Z_]{4,}([^A-Za-z_.(]|$)' | grep -oE '[A-Z_]{5,}' | sort -u); do
  case " $(echo $no_code) " in *" $w "*) continue ;; esac
  case $w in RQ_*) continue ;; esac # operators of .qir
  if "$QVERIFY" explain "$w" >/dev/null 2>&1; then ok "explain $w"; else not_ok "explain $w: a word of the program without an explanation"; fi
  n=$((n + 1))
done
if ((n < 20)); then not_ok "only $n words found"; fi
for w in $(sed -n 's/^CI_CHECK(.*, "\(.*\)").*/\1/p' cli/ci_checks.def); do
  t "explain $w" 0 explain "$w"
  t "explain qverify/$w" 0 explain "qverify/$w"
done
for w in sat unsat unknown timed-out; do t "explain $w" 0 explain $w; done
t 'explain nothing' 1 explain 11
has err 'explain nothing: said' "nothing is known about '11'"
t 'explain a misspelt word' 1 explain VERIFYED
has err 'explain a misspelt word: hint' "did you mean 'VERIFIED'"
# What is not proved says what to try next.
S=examples/shapes
t 'overflow refuted' 10 overflow $S/wide.tflite --acc-bits 16
has out 'overflow refuted: next' '^  next: 18-bit accumulators'
t 'that width is enough' 0 overflow $S/wide.tflite --acc-bits 18
t 'audit refuted' 10 audit $S/shapes.tflite --kernel avx2-u8s8
has out 'audit refuted: next' '^  next: --repair'
t 'audit open' 5 audit $S/shapes.tflite --kernel avx2-u8s8 --no-search
has out 'audit open: next' '^  next: without --no-search'
t 'allocate infeasible' 10 allocate examples/allocation/two-layers.json --limit size=10%
has out 'allocate infeasible: next' '--explain says which limit'
finish
