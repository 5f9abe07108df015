# qverify error, --error-bound, --require 'error<=X', --sensitivities, AMP's --target: on small float networks.
. "$(dirname "$0")/lib.sh"
F=tests/corpus/float
samples() { awk -v n="$1" 'BEGIN { s = 12345; for (i = 0; i < 40; i++) { for (k = 0; k < n; k++) { s = (s * 1103515245 + 12345) % 2147483648; printf "%s%.4f", k ? "," : "", s / 1073741824 - 1 } print "" } }'; }
samples 4 >"$T/dense.csv"
samples 50 >"$T/image.csv"
for i in $(seq 40); do echo $((i % 3)); done >"$T/labels.txt"
valid() { check "$1: the report follows the schema" "$TOOLS/schema_check" docs/error.schema.json "$2"; }
less() { check "$1" awk -v a="$2" -v b="$3" 'BEGIN { exit !(a + 0 < b + 0) }'; }

# ---- the command
t 'a network to compare' 0 quantize $F/dense.onnx --calib "$T/dense.csv" -o "$T/dense8.onnx"
t 'the same at 3 bits' 0 quantize $F/dense.onnx --calib "$T/dense.csv" --bits 3/8 -o "$T/dense3.onnx"
t 'a bound' 0 error $F/dense.onnx "$T/dense8.onnx" --profile ort-vnni --json "$T/r.json"
has out 'a bound: what is claimed' '^VERIFIED: the bound above holds for every input of the domain$'
has out 'a bound: everything corresponds' '; ([0-9]+) of \1 quantized tensors stand for a tensor of the float network\.$'
valid 'a bound' "$T/r.json"
bound=$(json "$T/r.json" bound) seen=$(json "$T/r.json" observed)
less 'a bound: above what was seen' "$seen" "$bound"
less 'a bound: below the outputs'"'"' range' "$bound" 3.7
less 'a bound: something was seen' 0 "$seen"
t 'proved' 0 error $F/dense.onnx "$T/dense8.onnx" -p ort-vnni --within "$bound"
has out 'proved: says so' '^VERIFIED: error <= .* for every input of the domain$'
t 'not proved' 5 error $F/dense.onnx "$T/dense8.onnx" -p ort-vnni --within "$(awk -v a="$bound" -v b="$seen" 'BEGIN { print (a + b) / 2 }')" --json "$T/r.json"
check 'not proved: in the report' test "$(json "$T/r.json" verdict)" = unknown
valid 'not proved' "$T/r.json"
t 'refuted' 10 error $F/dense.onnx "$T/dense8.onnx" -p ort-vnni --within "$(awk -v b="$seen" 'BEGIN { print b / 2 }')" --json "$T/r.json"
has out 'refuted: why' '^FALSIFIED: error <= .*; an executed input has a larger error$'
valid 'refuted' "$T/r.json"
t 'intervals only' 0 error $F/dense.onnx "$T/dense8.onnx" -p ort-vnni --effort 1 --json "$T/r.json"
check 'intervals only: not better' awk -v a="$(json "$T/r.json" bound)" -v b="$bound" 'BEGIN { exit !(a >= b) }'
t 'three bits' 0 error $F/dense.onnx "$T/dense3.onnx" -p ort-vnni --json "$T/r.json"
less 'three bits: further away' "$bound" "$(json "$T/r.json" bound)"
t 'a wider range than the codes' 0 error $F/dense.onnx "$T/dense8.onnx" -p ort-vnni --range -3:3 --json "$T/r.json"
less 'a wider range: cut off' 1 "$(json "$T/r.json" observed)"
t 'around samples' 0 error $F/dense.onnx "$T/dense8.onnx" -p ort-vnni --input "$T/dense.csv" --index 0:3 --radius 0.01 --json "$T/r.json"
has out 'around samples: the domain' '^Domain: within 0\.01 of each of 4 samples\.$'
check 'around samples: not worse' awk -v a="$(json "$T/r.json" bound)" -v b="$bound" 'BEGIN { exit !(a <= b) }'
valid 'around samples' "$T/r.json"
t 'points' 0 error $F/dense.onnx "$T/dense8.onnx" -p ort-vnni --input "$T/dense.csv" --radius 0 --json "$T/r.json"
check 'points: the error itself' awk -v a="$(json "$T/r.json" bound)" -v b="$(json "$T/r.json" observed)" 'BEGIN { exit !(a - b < 1e-9) }'
t 'in parts' 0 error $F/dense.onnx "$T/dense8.onnx" -p ort-vnni --split 60 --json "$T/r.json"
less 'in parts: better' "$(json "$T/r.json" bound)" "$bound"
less 'in parts: not below what was seen' "$(json "$T/r.json" observed)" "$(json "$T/r.json" bound)"
t 'codes only' 0 error $F/dense.onnx "$T/dense8.onnx" -p ort-vnni --grid --json "$T/r.json"
check 'codes only: not worse' awk -v a="$(json "$T/r.json" bound)" -v b="$bound" 'BEGIN { exit !(a <= b) }'
t 'lowered' 0 lower "$T/dense8.onnx" --profile ort-vnni -o "$T/dense8.qir"
t 'of the integers alone' 0 error $F/dense.onnx "$T/dense8.qir" --json "$T/r.json"
check 'of the integers alone: the same bound' test "$(json "$T/r.json" bound)" = "$bound"
t 'another network' 3 error $F/image.onnx "$T/dense8.onnx" -p ort-vnni --json "$T/r.json"
check 'another network: incomplete' grep -q '"complete": false' "$T/r.json"
valid 'another network' "$T/r.json"
t 'no such file' 2 error "$T/none.onnx" "$T/dense8.onnx" -p ort-vnni
t 'radius without input' 1 error $F/dense.onnx "$T/dense8.onnx" -p ort-vnni --radius 1
t 'an empty range' 1 error $F/dense.onnx "$T/dense8.onnx" -p ort-vnni --range 2:1
t 'report on standard output' 0 error $F/dense.onnx "$T/dense8.onnx" -p ort-vnni --json -
valid 'report on standard output' "$T/out"
t 'image' 0 quantize $F/image.onnx --calib "$T/image.csv" -o "$T/image8.onnx"
t 'image: logits' 0 error $F/image.onnx "$T/image8.onnx" -p ort-vnni
has out 'image: logits are compared' 'in front of the softmax'

# ---- the claim of quantize and allocate
t 'quantize with a bound' 0 quantize $F/dense.onnx --calib "$T/dense.csv" --error-bound inf
has out 'quantize with a bound: a line' '^VERIFIED: the exported integers are within [0-9.e-]+ of the float network for every input that the codes stand for$'
t 'quantize: bound not proved' 5 quantize $F/dense.onnx --calib "$T/dense.csv" --error-bound 1e-6
has out 'quantize: bound not proved: said' '^UNKNOWN: the exported integers are within 1e-06 .*; no such bound was proved$'
t 'quantize: around samples' 0 quantize $F/dense.onnx --calib "$T/dense.csv" --error-bound 0.5@0.01 --error-samples 3
t 'quantize: no number' 1 quantize $F/dense.onnx --calib "$T/dense.csv" --error-bound wide
base="allocate $F/dense.onnx --calib $T/dense.csv --candidates 8/8,4/8,2/8 --limit size=90%"
t 'without a requirement' 0 $base -o "$T/free.onnx"
t 'without: its bound' 0 error $F/dense.onnx "$T/free.onnx" -p ort-vnni --json "$T/r.json"
free=$(json "$T/r.json" bound)
t 'a requirement that holds' 0 $base --require "error<=$free"
has out 'holds: no cut' '^Requirement error<=.*: 0 better allocations excluded'
# a little less than the optimum has: it is excluded, and the next one that keeps the requirement is taken, or none is left
"$QVERIFY" $base --require "error<=$(awk -v a="$free" 'BEGIN { print 0.999 * a }')" -o "$T/near.onnx" >"$T/out" 2>"$T/err"
rc=$?
check 'a requirement that cuts: an answer or none' test $rc = 0 -o $rc = 5
has out 'cuts: counted' '^Requirement error<=.*: [1-9][0-9]* better allocations? excluded'
if [ $rc = 0 ]; then
  t 'cuts: the answer keeps it' 0 error $F/dense.onnx "$T/near.onnx" -p ort-vnni --within "$(awk -v a="$free" 'BEGIN { print 0.999 * a }')"
fi
t 'a requirement nobody keeps' 5 $base --require 'error<=1e-9'
t 'requirement misspelt' 1 $base --require 'error<1'

# ---- losses from a file
t 'measured and kept' 0 $base --metric noise --sensitivities "$T/s.json" --table "$T/t1.json"
check 'kept: a key' grep -q '"key": "[0-9a-f]\{64\}"' "$T/s.json"
cp "$T/s.json" "$T/s1.json"
t 'taken from there' 0 $base --metric noise --sensitivities "$T/s.json" --table "$T/t2.json"
check 'taken: the same table' cmp "$T/t1.json" "$T/t2.json"
check 'taken: the file is as it was' cmp "$T/s.json" "$T/s1.json"
t 'other samples' 0 $base --samples 20 --metric noise --sensitivities "$T/s.json"
has err 'stale: said' '^qverify: .*s\.json: measured for another network, other samples, options or version: measured again$'
check 'stale: replaced' sh -c "! cmp -s '$T/s.json' '$T/s1.json'"
sed '/"key"/d; s/"noise": "[^"]*"/"noise": "0.25"/; s/"noise"/"user"/' "$T/s1.json" >"$T/mine.json"
cp "$T/mine.json" "$T/mine1.json"
t 'my own numbers' 0 $base --metric user --sensitivities "$T/mine.json" --table "$T/t3.json"
check 'my own numbers: in the table' grep -q '"user": "0.25"' "$T/t3.json"
check 'my own numbers: never written' cmp "$T/mine.json" "$T/mine1.json"
t 'numbers that are missing' 2 allocate $F/dense.onnx --calib "$T/dense.csv" --limit size=90% --candidates 8/8,4/8,3/8 --metric user --sensitivities "$T/mine.json"
has err 'missing: which' "a value for W3A8 of group"
sed 's/"0.25"/"nan"/' "$T/mine.json" >"$T/nan.json"
t 'not a number' 2 $base --metric user --sensitivities "$T/nan.json"
has err 'not a number: which' 'is no finite decimal number'
t 'the bound as a loss' 0 $base --metric error --table "$T/t4.json"
check 'the bound as a loss: in the table' grep -q '"metric": "error"' "$T/t4.json"

# ---- AMP with a target
amp="allocate $F/dense.onnx --calib $T/dense.csv --candidates 8/8,4/8,2/8 --method greedy-amp --metric sqnr"
t 'AMP: a target' 5 $amp --target sqnr=20 --no-check
has out 'AMP: homogeneous first' '^  all at W8A8: '
has out 'AMP: phase 2' '^AMP phase 2: the first [0-9]+ of [0-9]+ entries; the score rose at [0-9]+ of them$'
t 'AMP: everything will do' 5 $amp --target sqnr=-50
has out 'AMP: cheapest' '^AMP: the cheapest candidate everywhere reaches the target$'
t 'AMP: nothing will do' 5 $amp --target sqnr=500
has out 'AMP: best kept' '^AMP: no candidate everywhere reaches the target; the best one is kept$'
t 'AMP: accuracy' 5 $amp --target accuracy=float-10 --labels "$T/labels.txt"
t 'AMP: no such target' 1 $amp --target speed=1
t 'AMP: target and limit' 1 $amp --target sqnr=20 --limit size=80%
finish
