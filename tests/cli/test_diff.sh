#!/usr/bin/env bash
# qverify diff from outside: verdicts, exit codes, counts, files.
. "$(dirname "$0")/lib.sh"
S=examples/shapes/shapes.tflite
W=examples/shapes/wide.tflite

t "different: exit 10" 10 diff $S --profile tflite-double --profile tflite-single --cex "$T/x.npy" --json "$T/r.json"
has out "the first layer's count" '^ +0 +CONV_2D +conv1 +values +[0-9]+ +[1-9][0-9]* .*by an executed input'
has out "the verdict line" '^DIFFERENT: an executed input'
check "a report that is complete" grep -q '"run_state": "COMPLETE"' "$T/r.json"
check "... and says the exit code" grep -q '"exit_code": 10' "$T/r.json"

# The input that was written gives the two outputs that were printed.
line=$(sed -nE 's/^DIFFERENT: .*output softmax element ([0-9]+) is (-?[0-9]+) under tflite-double, (-?[0-9]+) under.*/\1 \2 \3/p' "$T/out")
read -r e a b <<<"$line"
"$QVERIFY" run $S --profile tflite-double --input "$T/x.npy" --output "$T/a.bin" >/dev/null && "$QVERIFY" run $S --profile tflite-single --input "$T/x.npy" --output "$T/b.bin" >/dev/null
value() { od -An -td1 -j "$2" -N1 "$1" | tr -d ' '; }
if [ -n "${e:-}" ] && [ "$(value "$T/a.bin" "$e")" = "$a" ] && [ "$(value "$T/b.bin" "$e")" = "$b" ]; then ok "the written input replays"; else
  not_ok "the written input replays: element '${e:-}' of a.bin, b.bin"
fi

t "the same profile twice: equal" 0 diff $S --profile tflite-double --profile cmsis --verbose
has out "equal is said, and that there is no certificate" '^EQUAL: .*no certificate'
t "verbose counts channels" 10 diff $S -p tflite-double -p tflite-single -v
has out "one row per channel" '^ +7 +\[-?[0-9]+,-?[0-9]+\] +[0-9]+'

t "proofs only" 5 diff $W -p tflite-double -p tflite-ruy-x86 --inputs 0
has out "undecided is said, with the reason" '^UNKNOWN: .*no input was searched'
t "samples decide as well" 10 diff $W -p tflite-double -p tflite-ruy-x86 --inputs 0 --input examples/shapes/test_images.npy
has out "samples are counted" '^Samples: [1-9][0-9]* of [0-9]+ have other outputs'

t "report on standard output" 10 diff $S -p tflite-double -p tflite-single --json -
check "... is JSON from the first byte" test "$(head -c1 "$T/out")" = "{"
t "one profile is not enough" 1 diff $S --profile tflite-double
t "unknown profile" 1 diff $S -p tflite-double -p tflite-singel
has err "a hint" "did you mean 'tflite-single'"
t "inputs are counted" 1 diff $S -p tflite-double -p tflite-single --input a --input b
t "a .qir takes no profile" 1 diff tests/corpus/qir/small.qir -p tflite-double -p tflite-single
t "a file that is not there" 2 diff "$T/none" -p tflite-double -p tflite-single
t "a report that cannot be written" 6 diff $S -p tflite-double -p tflite-single --json "$T/no/such/r.json"
finish
