# qverify quantize, and allocate on float networks.
. "$(dirname "$0")/lib.sh"
F=tests/corpus/float
# 40 samples of a small generator, values in [-1,1); the same with a class each (the sign of the first value)
samples() { awk -v n="$1" 'BEGIN { s = 12345; for (i = 0; i < 40; i++) { for (k = 0; k < n; k++) { s = (s * 1103515245 + 12345) % 2147483648; printf "%s%.4f", k ? "," : "", s / 1073741824 - 1 } print "" } }'; }
samples 4 >"$T/dense.csv"
samples 50 >"$T/image.csv"
for i in $(seq 40); do echo $((i % 3)); done >"$T/labels.txt"

t 'dense' 0 quantize $F/dense.onnx --calib "$T/dense.csv" --labels "$T/labels.txt" -o "$T/dense8.onnx"
has out 'accuracy is counted' '^The integers, executed: same class as in float on [34][0-9] of 40 samples; accuracy [0-9.]+ % \(float [0-9.]+ %\)\.$'
has out 'the exported network is proved' '^VERIFIED: no accumulator of the exported network can overflow, profile ort-vnni; 4 of 4 obligations proved$'
t 'the exported file is a model' 0 overflow "$T/dense8.onnx" --profile ort-vnni
t 'and runs' 0 run "$T/dense8.onnx" --profile ort-vnni --input "$T/dense.csv" --output "$T/y.npy"
t 'four bits' 0 quantize $F/dense.onnx --calib "$T/dense.csv" --bits 4/4 -o "$T/dense4.onnx"
has out 'four bits: weights' '^ +-> h +4 +6 scales +0 +24$'
t 'the same bytes again' 0 quantize $F/dense.onnx --calib "$T/dense.csv" --bits 4/4 -o "$T/again.onnx"
check 'the same bytes again: equal' cmp "$T/dense4.onnx" "$T/again.onnx"
t 'one layer' 0 quantize $F/dense.onnx --calib "$T/dense.csv" --layer x=3/5
has out 'one layer: its weights' '^ +-> h +3 '
has out 'one layer: the others' '^ +-> (m|y|MatMul).* 8 '
t 'every option' 0 quantize $F/dense.onnx --calib "$T/dense.csv" --bits 6/7 --range mse --per-tensor --pow2 --correct-bias --round-to-output --samples 20
t 'percentile, symmetric' 0 quantize $F/dense.onnx --calib "$T/dense.csv" --range percentile:0.95 --symmetric --profile onnx-spec
t 'image with a softmax' 0 quantize $F/image.onnx --calib "$T/image.csv" -o "$T/image8.onnx"
has out 'what ONNX Runtime does' '^ONNX Runtime computes these very integers \(profile ort-vnni;'
t '12-bit accumulators' 0 quantize $F/dense.onnx --calib "$T/dense.csv" --acc-bits 12 -o "$T/acc12.onnx"
has out '12-bit accumulators: what it took' '^  h +12 +[0-9] of 6 +127 -> [0-9]+ .*\[-[0-9]+,[0-9]+\]$'
has out '12-bit accumulators: proved' '^VERIFIED: no accumulator of the exported network can overflow, 12 bits, profile ort-vnni; '
t '12-bit accumulators: the file' 0 overflow "$T/acc12.onnx" --profile ort-vnni --acc-bits 12
t '12-bit accumulators: not without' 10 overflow "$T/dense8.onnx" --profile ort-vnni --acc-bits 12
t 'accumulators too wide' 1 quantize $F/dense.onnx --calib "$T/dense.csv" --acc-bits 63
t 'pairs of products' 0 quantize $F/image.onnx --calib "$T/image.csv" --profile ort-avx2 -o "$T/pairs.onnx"
has out 'pairs of products: proved' '^VERIFIED: .*, profile ort-avx2; '
t 'pairs of products: the file' 0 overflow "$T/pairs.onnx" --profile ort-avx2
t 'pairs of products: not without' 10 overflow "$T/image8.onnx" --profile ort-avx2
t 'powers of two as weights' 0 quantize $F/dense.onnx --calib "$T/dense.csv" --bits 4/8 --pow2-weights --pow2
t 'powers of two, rounded by the output' 1 quantize $F/dense.onnx --calib "$T/dense.csv" --pow2-weights --round-to-output
t 'sums as results' 0 quantize $F/dense.onnx --calib "$T/dense.csv" --sums -o "$T/sums.onnx"
has out 'sums as results: in ONNX Runtime' '^ONNX Runtime computes these very integers'
t 'sums as results: the file' 0 info "$T/sums.onnx" --profile ort-vnni
t 'sums of 4 bits' 1 quantize $F/dense.onnx --calib "$T/dense.csv" --sums --output-bits 4
t 'sums behind a softmax' 1 quantize $F/image.onnx --calib "$T/image.csv" --sums
t 'results of 12 bits' 0 quantize $F/dense.onnx --calib "$T/dense.csv" --output-bits 12
has out 'results of 12 bits: runtime' '^The runtime may differ from profile onnx-spec: [0-9]+ of 120 output values'
t 'QONNX' 0 quantize $F/image.onnx --calib "$T/image.csv" --bits 4/5 -o "$T/image.qonnx"
has out 'QONNX: proved' '^VERIFIED: .*profile qonnx-exact;'
t 'QONNX: the file' 0 overflow "$T/image.qonnx" --profile finn:24
t 'a format that does not exist' 1 quantize $F/dense.onnx --calib "$T/dense.csv" --format onnx
t '16-bit activations run in binary32' 0 quantize $F/dense.onnx --calib "$T/dense.csv" --bits 8/16
has out 'and the report says so' '^The runtime may differ from profile onnx-spec: [0-9]+ of 120 output values of the test samples do, computed in binary32'
has out 'with the reason' 'binary32, which is exact only with powers of two as scales'
t 'asked for that runtime' 3 quantize $F/dense.onnx --calib "$T/dense.csv" --bits 8/16 --profile ort-vnni
t 'in exact arithmetic they are fine' 0 quantize $F/dense.onnx --calib "$T/dense.csv" --bits 8/16 --profile onnx-spec
for n in dense image; do # with so many bits nothing but the counting can differ
  t "12/16 bits, $n" 0 quantize $F/$n.onnx --calib "$T/$n.csv" --bits 12/16 --profile onnx-spec
  has out "12/16 bits, $n: every class as in float" '^The integers, executed: same class as in float on 40 of 40 samples\.$'
done

samples 32 >"$T/residual.csv" # a Concat whose parts are stored in different orders and have different scales
for p in onnx-spec ort-vnni; do
  t "residual, $p" 0 quantize $F/residual.onnx --calib "$T/residual.csv" --profile $p
  has out "residual, $p: as in float" '^The integers, executed: same class as in float on (3[5-9]|40) of 40 samples'
done
t 'allocate falls back as quantize does' 0 allocate $F/dense.onnx --calib "$T/dense.csv" --candidates 8/16,4/16 --limit size=90%
has out 'and says so' 'profile onnx-spec'
t 'unless a profile was asked for' 3 allocate $F/dense.onnx --calib "$T/dense.csv" --candidates 8/16,4/16 --limit size=90% --profile ort-vnni
t 'AMP with phase 3' 5 allocate $F/residual.onnx --calib "$T/residual.csv" --candidates 8/8,4/4,4/8 --metric sqnr --method greedy-amp --target sqnr=20 --phase3 1,0.5,0
has out 'AMP with phase 3: edges' '^AMP phase 3: 10 edges between groups, each counted with its weight$'
has out 'AMP with phase 3: scored' '^  alpha 1: conversions [0-9]+, bops [0-9]+, loss .*; score [0-9.]+.* \(proved: .*; certificate accepted\)$'
t 'compare too' 0 compare $F/dense.onnx --calib "$T/dense.csv" --candidates 8/16,4/16 --at 90%
has out 'compare too: says so' 'read back under profile ort-vnni \(onnx-spec where that refuses\)'

t 'averages cannot be fitted' 10 quantize $F/image.onnx --calib "$T/image.csv" --bits 8/16 --acc-bits 18
has out 'averages cannot be fitted: says so' '^FALSIFIED: an accumulator of the exported network can overflow, 18 bits'

# a network of one Relu, x 1x2 -> y: no weights, no accumulators
printf '\x08\x08\x3a\x3b\x0a\x0c\x0a\x01\x78\x12\x01\x79\x22\x04\x52\x65\x6c\x75\x12\x01\x67\x5a\x13\x0a\x01\x78\x12\x0e\x0a\x0c\x08\x01\x12\x08\x0a\x02\x08\x01\x0a\x02\x08\x02\x62\x13\x0a\x01\x79\x12\x0e\x0a\x0c\x08\x01\x12\x08\x0a\x02\x08\x01\x0a\x02\x08\x02\x42\x04\x0a\x00\x10\x0d' >"$T/relu.onnx"
samples 2 >"$T/relu.csv"
t 'no weights' 5 quantize "$T/relu.onnx" --calib "$T/relu.csv"
has out 'no weights: nothing to prove' '^UNKNOWN: nothing to prove: the exported network has no accumulator, profile ort-vnni'
t 'no weights: compared' 0 compare "$T/relu.onnx" --calib "$T/relu.csv" --at 70% --phase3 1

t 'no samples' 1 quantize $F/dense.onnx
t 'bits out of range' 1 quantize $F/dense.onnx --calib "$T/dense.csv" --bits 1/8
t 'no such layer' 1 quantize $F/dense.onnx --calib "$T/dense.csv" --layer nobody=4/8
t 'unknown profile' 1 quantize $F/dense.onnx --calib "$T/dense.csv" --profile nobody
t 'samples of another shape' 2 quantize $F/dense.onnx --calib "$T/labels.txt.npy"
t 'not a whole number of samples' 2 quantize $F/image.onnx --calib "$T/dense.csv"
printf '1,2,x,4\n' >"$T/bad.csv"
t 'a word among the numbers' 2 quantize $F/dense.onnx --calib "$T/bad.csv"
has err 'a word among the numbers: where' "line 1: 'x' is not a finite number"
printf '1,2,3,4\n1,2,3\n' >"$T/bad.csv"
t 'a short line' 2 quantize $F/dense.onnx --calib "$T/bad.csv"
t 'a quantized model' 3 quantize "$T/dense8.onnx" --calib "$T/dense.csv"
t 'labels missing' 2 quantize $F/dense.onnx --calib "$T/dense.csv" --labels "$T/bad.csv"
t 'output into nowhere' 6 quantize $F/dense.onnx --calib "$T/dense.csv" -o "$T/no/such/dir.onnx"

t 'allocate' 0 allocate $F/image.onnx --calib "$T/image.csv" --limit size=85% -o "$T/best.onnx" --table "$T/table.json" --certificate "$T/best.qva" --explain
has out 'allocate: the optimum' '^OPTIMAL: no allocation within the limits has less loss.*\(certificate accepted by qverify-check\)$'
has out 'allocate: the network' '^VERIFIED: accumulator overflow of the exported network, 32 bits, profile ort-vnni$'
t 'allocate: the file' 0 overflow "$T/best.onnx" --profile ort-vnni
cp "$T/out" "$T/o1"
t 'the table that was measured gives the same choice' 0 allocate "$T/table.json" --limit size=85% --certificate "$T/second.qva"
check 'the same certificate' cmp "$T/best.qva" "$T/second.qva"
t 'narrow accumulators leave candidates out' 0 allocate $F/image.onnx --calib "$T/image.csv" --limit size=90% --acc-bits 14 --no-fit --explain
has out 'and says which' '^  left out: W8A8 of group .*: the accumulator of .* ranges over \[-?[0-9]+,[0-9]+\]'
t 'no candidate is safe' 3 allocate $F/image.onnx --calib "$T/image.csv" --limit size=90% --acc-bits 4 --no-fit
has err 'no candidate is safe: says what' 'no candidate is proved safe; the nearest, W4A4P4, needs 13 bits'
t 'nothing is small enough' 10 allocate $F/image.onnx --calib "$T/image.csv" --limit size=1% --explain
has out 'nothing is small enough: where to' 'size: enough if its limit moves from'
for m in noise kl fisher hessian eagl orm; do
  t "metric $m" 0 allocate $F/image.onnx --calib "$T/image.csv" --limit size=85% --metric $m
  has out "metric $m: named" "loss '$m'"
done
t 'accuracy needs labels' 1 allocate $F/image.onnx --calib "$T/image.csv" --limit size=85% --metric accuracy
t 'a metric that does not exist' 1 allocate $F/image.onnx --calib "$T/image.csv" --limit size=85% --metric nois
t 'a requirement' 0 allocate $F/dense.onnx --calib "$T/dense.csv" --limit size=90% --require robust:1 --require-samples 3 --certificate "$T/req.qva"
has out 'a requirement: kept' '^Requirement robust:1: [0-9]+ better allocations excluded .*; for this one it is'
t 'a requirement nobody can keep' 5 allocate $F/dense.onnx --calib "$T/dense.csv" --limit size=90% --candidates 8/8,4/8 --require robust:255 --require-samples 2 --require-timeout 1
has out 'a requirement nobody can keep: all excluded' '^Requirement robust:255: [1-9][0-9]* better allocations excluded'
has out 'a requirement nobody can keep: no claim about the limits' '^UNKNOWN: every allocation within the limits was tried'
t 'a requirement on a table' 1 allocate "$T/table.json" --limit size=85% --require robust:1
t 'a requirement that does not exist' 1 allocate $F/dense.onnx --calib "$T/dense.csv" --limit size=90% --require magic
t 'ends kept' 0 allocate $F/image.onnx --calib "$T/image.csv" --limit size=95% --keep-ends 8/8
t 'ends that are no candidate' 1 allocate $F/image.onnx --calib "$T/image.csv" --limit size=80% --keep-ends 5/5
t 'a precision that is not there' 1 allocate $F/image.onnx --calib "$T/image.csv" --limit size=80% --method uniform-W5A5
t 'candidates twice' 1 allocate $F/image.onnx --calib "$T/image.csv" --limit size=80% --candidates 8/8,8/8
t 'output of a table' 1 allocate "$T/table.json" --limit size=85% -o "$T/x.onnx"

# compare on a network: its rows against what allocate and quantize say of the same choice.
t 'compare' 0 compare $F/image.onnx --calib "$T/image.csv" --at 85% --json "$T/r.json" --figure "$T/f.html" --table "$T/compared.json"
has out 'compare: what was executed' '^Each choice quantized, .* under profile ort-vnni \(onnx-spec where that refuses\) and executed on 40 samples; as float: same class as the float network$'
has out 'compare: columns' '^ *method .* as float % +acc\. bits +ONNX bytes +limits$'
check 'compare: the report follows the schema' "$TOOLS/schema_check" docs/allocation.schema.json "$T/r.json"
check 'compare: columns on the page' grep -q 'as float %' "$T/f.html"
row=$(grep '^ *optimum ' "$T/out") uniform=$(grep '^ *uniform W4A8 ' "$T/out")
t 'compare: the same by allocate' 0 allocate $F/image.onnx --calib "$T/image.csv" --limit size=85% -o "$T/best.onnx" --table "$T/table.json"
check 'compare: the same table' cmp "$T/compared.json" "$T/table.json"
same=$(sed -n 's/^The integers, executed: same class as in float on \([0-9]*\) of 40 samples.*/\1/p' "$T/out")
bits=$(sed -n 's/^Widest accumulator needed: \([0-9]*\) bits\.$/\1/p' "$T/out")
want=$(awk -v s="$same" 'BEGIN { printf "%.2f", 100 * s / 40 }')
check 'compare: optimum in the report' grep -q "\"as_float\": \"$same\"" "$T/r.json"
check 'compare: agreement, bits and bytes of the optimum' sh -c "echo '$row' | grep -qE ' $want +$bits +$(wc -c <"$T/best.onnx" | tr -d ' ') +kept *\$'"
t 'compare: uniform by allocate' 5 allocate $F/image.onnx --calib "$T/image.csv" --method uniform-W4A8 -o "$T/uniform.onnx"
same=$(sed -n 's/^The integers, executed: same class as in float on \([0-9]*\) of 40 samples.*/\1/p' "$T/out")
want=$(awk -v s="$same" 'BEGIN { printf "%.2f", 100 * s / 40 }')
bits=$(sed -n 's/^Widest accumulator needed: \([0-9]*\) bits\.$/\1/p' "$T/out")
check 'compare: another row' sh -c "echo '$uniform' | grep -qE ' $want +$bits +$(wc -c <"$T/uniform.onnx" | tr -d ' ') +kept *\$'"
check 'compare: in the report' grep -q "\"as_float\": \"$same\"" "$T/r.json"
t 'compare: labels' 0 compare $F/dense.onnx --calib "$T/dense.csv" --labels "$T/labels.txt" --at 75% --candidates 8/8,4/8 --json "$T/r.json" --figure "$T/f.svg"
check 'compare: the table below the figure' grep -q '<text class="l".*accuracy %.*</text>' "$T/f.svg"
has out 'compare: accuracy' '; accuracy of the float network [0-9.]+ %$'
has out 'compare: accuracy column' ' accuracy % +acc\. bits '
check 'compare: labels: schema' "$TOOLS/schema_check" docs/allocation.schema.json "$T/r.json"
check 'compare: right answers in the report' grep -qE '"right": "[0-9]+"' "$T/r.json"
wide=$(grep '^ *uniform W8A8 ' "$T/out")
t 'compare: the same by quantize' 0 quantize $F/dense.onnx --calib "$T/dense.csv" --labels "$T/labels.txt"
want=$(sed -n 's/.*; accuracy \([0-9.]*\) % (float.*/\1/p' "$T/out")
check 'compare: accuracy of the widest' sh -c "echo '$wide' | grep -qE ' $want +[0-9]+ +[0-9]+ +(kept|BROKEN) *\$'"
t 'compare: what the runtime would not compute exactly' 0 compare $F/dense.onnx --calib "$T/dense.csv" --at 75% --candidates 8/16,4/8 --profile ort-vnni --json "$T/r.json"
has out 'compare: refused, with the reason' '^  no network of uniform W8A16 under profile ort-vnni: .*binary32'
check 'compare: refused: schema' "$TOOLS/schema_check" docs/allocation.schema.json "$T/r.json"
t 'compare: no machine accumulators' 0 compare $F/dense.onnx --calib "$T/dense.csv" --at 75% --candidates 8/16,4/16 --profile onnx-spec
has out 'compare: no machine accumulators: no bits' '^ *uniform W8A16 .* [0-9.]+ +- +[0-9]+ +(kept|BROKEN)$'
t 'compare: a table has no such columns' 0 compare "$T/table.json" --at 85%
check 'compare: a table has no such columns: none' sh -c "! grep -q 'ONNX bytes' '$T/out'"
t 'compare: without samples' 1 compare $F/dense.onnx
finish
