# qverify overflow: verdicts, exit codes, reports.
. "$(dirname "$0")/lib.sh"
fc_model >"$T/fc.qir"
parabola_model >"$T/parabola.qir"
opaque_model >"$T/opaque.qir"
copy_model >"$T/copy.qir"
two_model >"$T/two.qir"

# proved
t 'proved at 32 bits' 0 overflow "$T/fc.qir" --json "$T/r.json"
has out 'the proved range is the exact one' ' -520 +40055 +17 +32 wrap +15 '
has out 'verdict line' '^VERIFIED: .*\(certificate accepted by qverify-check\)$'
has out 'assumptions: domain' 'u8 value from 0 to 255'
valid_report 'proved' "$T/r.json"
check 'report: state' test "$(json "$T/r.json" run_state)" = COMPLETE
check 'report: verdict' test "$(json "$T/r.json" verdict)" = VERIFIED
check 'report: checked' grep -q '"independently_checked": true' "$T/r.json"
check 'report: exit code' test "$(json "$T/r.json" exit_code)" = 0
check 'report: hash of the model' grep -q "$(sha256sum "$T/fc.qir" | cut -d' ' -f1)" "$T/r.json"
t 'proved at exactly the width needed' 0 overflow "$T/fc.qir" --acc-bits 17
has out 'headroom 0' ' 17 +17 wrap +0 '

# refuted: 40055 needs 17 bits; 40055 - 65536 = -25481
t 'refuted one bit below' 10 overflow "$T/fc.qir" --acc-bits 16 --json "$T/r.json" --cex "$T/cex.npy"
# The witness is free to be any input that overflows: recompute both values from its two bytes.
read -r x0 x1 < <(tail -c 2 "$T/cex.npy" | od -An -tu1)
acc=$((20 + 30 * x0 + 127 * x1))
if ((acc > 32767)); then ok 'the counterexample overflows, by hand'; else not_ok "the counterexample $x0,$x1 gives $acc"; fi
has out 'refuted: what happens' "channel 1 sums to $acc and the 16-bit accumulator wraps to $((acc - 65536))\$"
has out 'refuted: verdict line' '^FALSIFIED: layer 0 FC'
valid_report 'refuted' "$T/r.json"
check 'report: refuted' test "$(json "$T/r.json" verdict)" = FALSIFIED
check 'report: exit code 10' test "$(json "$T/r.json" exit_code)" = 10
check 'report: replayed' grep -q '"replayed": true' "$T/r.json"
t 'the counterexample runs' 0 run "$T/fc.qir" --input "$T/cex.npy" --output "$T/y.bin"

# neither: see lib.sh
t 'not excluded' 5 overflow "$T/parabola.qir" --acc-bits 9 --json "$T/r.json"
has out 'not excluded: says so' 'not excluded by the bounds, though no input overflows \(all were executed\)'
has out 'not excluded: verdict line' '^UNKNOWN: overflow not excluded; 0 of 1'
valid_report 'not excluded' "$T/r.json"
check 'report: unknown' test "$(json "$T/r.json" verdict)" = UNKNOWN
t 'the same with room' 0 overflow "$T/parabola.qir" --acc-bits 11

# saturation on the way that leaves the result right: not a refutation, not a proof
saturating_model >"$T/sat.qir"
t 'saturated steps, right result' 5 overflow "$T/sat.qir" --json "$T/r.json"
has out 'saturated steps: says so' 'a step saturates on an executed input, whose result is right all the same'
check 'saturated steps: no counterexample' grep -q '"cex": null' "$T/r.json"
valid_report 'saturated steps' "$T/r.json"
sed 's/^100 100 -164 -164$/100 100 -163 -164/' "$T/sat.qir" >"$T/sat2.qir"
t 'saturated steps, wrong result' 10 overflow "$T/sat2.qir"
has out 'saturated steps: both values' 'channel 0 sums to -127 and the 8-bit accumulator gives -128'

# opaque operators are never a clean pass
t 'opaque' 5 overflow "$T/opaque.qir" --json "$T/r.json"
has out 'opaque: named' 'layer 1 MYSTERY: opaque'
valid_report 'opaque' "$T/r.json"
check 'report: opaque obligation' grep -q '"id": "opaque/node2"' "$T/r.json"
t 'opaque cannot be executed' 3 run "$T/opaque.qir" --input "$T/cex.npy" --output "$T/y.bin"
has err 'opaque: operator is named' 'MYSTERY'

# nothing to prove
t 'no accumulator' 5 overflow "$T/copy.qir" --json "$T/r.json"
has out 'no accumulator: says so' 'nothing to prove'
check 'report: nothing selected' test "$(json "$T/r.json" run_state)" = NOTHING_SELECTED
valid_report 'nothing selected' "$T/r.json"
t 'two inputs' 0 overflow "$T/two.qir" --acc-bits 9
t 'two inputs, counterexample count' 1 overflow "$T/two.qir" --cex "$T/a.npy"

# stdout is the report and nothing else
t 'report on stdout' 10 overflow "$T/fc.qir" --acc-bits 16 --json -
cp "$T/out" "$T/r2.json"
valid_report 'stdout' "$T/r2.json"
check 'stderr is silent' test ! -s "$T/err"

# same input, same bytes (but for the clock, and the name of the report file in argv)
for i in 1 2; do "$QVERIFY" overflow "$T/fc.qir" --json "$T/same.json" >"$T/text$i"; sed '/total_s/d' "$T/same.json" >"$T/same$i"; done
check 'reports are reproducible' cmp "$T/same1" "$T/same2"
check 'texts are reproducible' cmp "$T/text1" "$T/text2"
if command -v python3 >/dev/null 2>&1; then
  check 'the content hash is what docs/report.md says' python3 - "$T/same.json" <<'PY'
import hashlib, json, sys
r = json.load(open(sys.argv[1]))
want = r.pop("content_sha256"); r.pop("timing")
text = json.dumps(r, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
sys.exit(hashlib.sha256(text.encode()).hexdigest() != want)
PY
else skip 'content hash: no python3'; fi

# failures leave a report that claims nothing
t 'missing model' 2 overflow "$T/none.qir" --json "$T/r.json"
valid_report 'missing model' "$T/r.json"
check 'report: incomplete' test "$(json "$T/r.json" run_state)" = INCOMPLETE
check 'report: exit code 2' test "$(json "$T/r.json" exit_code)" = 2
check 'report: verdict of a failure' test "$(json "$T/r.json" verdict)" = UNKNOWN
check 'report: reason of a failure' grep -q '"error": ".*No such file' "$T/r.json"

# killed while it reads the model: an older finished report must not survive
t 'a finished report' 0 overflow "$T/fc.qir" --json "$T/killed.json"
mkfifo "$T/slow.qir"
"$QVERIFY" overflow "$T/slow.qir" --json "$T/killed.json" >"$T/out" 2>"$T/err" &
pid=$!
for _ in $(seq 100); do
  if [ "$(json "$T/killed.json" run_state)" = INCOMPLETE ]; then break; fi
  sleep 0.05
done
{ kill -9 $pid; wait $pid; } 2>"$T/err"
check 'killed: INCOMPLETE' test "$(json "$T/killed.json" run_state)" = INCOMPLETE
valid_report 'killed' "$T/killed.json"
# x * sigmoid(x) as a table over 256 * a + b: the sums differ from channel to channel, and the counterexample is not in the first one
t 'ranges by element' 10 overflow tests/corpus/onnx/qdq_channels_table.onnx --profile onnx-spec --acc-bits 16
has out 'ranges by element: both are refuted' '^ +18 +QuantizeLinear +2 .* REFUTED$'
finish
