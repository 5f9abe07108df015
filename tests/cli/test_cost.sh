# Costs on float networks: measured times, a table of one's own, memory, accumulators, ALPS's gains.
. "$(dirname "$0")/lib.sh"
F=tests/corpus/float
awk 'BEGIN { s = 12345; for (i = 0; i < 40; i++) { for (k = 0; k < 4; k++) { s = (s * 1103515245 + 12345) % 2147483648; printf "%s%.4f", k ? "," : "", s / 1073741824 - 1 } print "" } }' >"$T/dense.csv"
dense="$F/dense.onnx --calib $T/dense.csv --candidates 8/8,4/8 --no-fit --acc-bits 32,16"

t 'calibrate-cost' 0 calibrate-cost $dense --runs 3 --isa portable -o "$T/l.json"
has out 'calibrate-cost: says where' '; portable, one thread, processor time, median of 3 runs'
has out 'calibrate-cost: what shares a kernel' '^ +h +int16 gemm.* W8A8P32 W4A8P32$'
has out 'calibrate-cost: narrow sums run on their own kernel' '^ +h +uint8 x int8 gemm in 16 bits.* W4A8P16$'
has out 'calibrate-cost: what is not safe is not there' '^2 pairs of layer and candidate are left out'
check 'calibrate-cost: shape' grep -q '"shape": "gemm rows 1 in 4 out 6"' "$T/l.json"
t 'calibrate-cost: its table serves' 0 allocate $dense --latency "$T/l.json" --limit latency=1000%
t 'calibrate-cost: table on standard output' 0 calibrate-cost $dense --runs 3 -o -
check 'calibrate-cost: format' test "$(json "$T/out" format)" = qverify-latency/1
t 'calibrate-cost: no samples' 1 calibrate-cost $F/dense.onnx
t 'calibrate-cost: no such instructions' 1 calibrate-cost $dense --isa avx9

# A table of one's own: h costs 10, 7, 6.5 and m 5, 4, 3 ns at W8A8P32, W4A8P32, W4A8P16. All wide: 15. The least: 9.5.
cat >"$T/own.json" <<'END'
{ "format": "qverify-latency/1", "cpu": "nobody's", "layers": [
  { "shape": "gemm rows 1 in 4 out 6", "measured": [ {"candidates": ["W8A8"], "median": "10"}, {"candidates": ["W4A8P32"], "median": 7}, {"candidates": ["W4A8"], "median": "6.5"} ] },
  { "layer": "m", "measured": [ {"candidates": ["W8A8P32"], "median": "5"}, {"candidates": ["W4A8P32"], "median": "4"}, {"candidates": ["W4A8P16"], "median": "3"} ] } ] }
END
t 'a table of one own' 0 allocate $dense --latency "$T/own.json" --limit latency=9.5
has out 'own table: the only choice' '^ +latency +9\.5 +9\.5 +0 +63\.33 %$'
has out 'own table: in narrow accumulators' "^On these integers every layer's accumulator needs no more than was chosen for it: 2 of 16 bits$"
t 'own table: below the least' 10 allocate $dense --latency "$T/own.json" --limit latency=9.4 --explain
has out 'own table: what would be enough' '^  latency: enough if its limit moves from 9\.4 to 9\.5, the others unchanged \(checked\)$'
sed 's/"W4A8P16"/"W4A8P32"/' "$T/own.json" >"$T/bad.json"
t 'a time is missing' 2 allocate $dense --latency "$T/bad.json" --limit latency=80%
has err 'a time is missing: which' 'no time of layer "m" \(gemm rows 1 in 6 out 3\) at W4A8P16'
for harm in 's/"median": "10"/"median": "-1"/' 's/"median": 7/"median": "soon"/' 's/"W8A8"/"W99A8"/' 's/"layer": "m"/"lair": "m"/' 's,latency/1,latency/2,' 's/"format"/"unit": "us", "format"/'; do
  sed "$harm" "$T/own.json" >"$T/bad.json"
  t "own table, $harm" 2 allocate $dense --latency "$T/bad.json" --limit latency=80%
done

# Memory of dense.onnx, by hand: x 4, h 6, m 3 codes; the Relu is computed with h; accumulators one a channel.
t 'memory' 0 allocate $dense --limit ram=100% --limit max-acc=15
has out 'memory: the peak: 4 + 6 codes and 6 accumulators of 4 or 2 bytes' '^ +ram \(ram@h\) +(34|22) +34 '
has out 'accumulators are limited' '^ +max-acc .* 1[0-5] +15 '
t 'accumulators too narrow' 10 allocate $dense --limit max-acc=8 --explain
has out 'accumulators too narrow: to what' '^  max-acc: enough if its limit moves from 8 to 1[0-5], the others unchanged \(checked\)$'
t 'what was left out, and why' 0 allocate $dense --limit size=95% --explain
has out 'left out: the accumulator and what it needs' '^  left out: W8A8P16 of group .x.: the accumulator of .h. ranges over \[-?[0-9]+,[0-9]+\], which needs 1[7-9] bits; 16 are offered$'
t 'fitted instead of left out' 0 allocate $F/dense.onnx --calib "$T/dense.csv" --candidates 8/8 --acc-bits 32,14 --limit max-acc=14 --explain -o "$T/narrow.onnx"
has out 'fitted: nothing is left out' "^On these integers every layer's accumulator needs no more than was chosen for it: 2 of 14 bits$"
check 'fitted: no line about candidates left out' sh -c "! grep -q 'left out' '$T/out'"
t 'fitted: the file, at 14 bits' 0 overflow "$T/narrow.onnx" --profile ort-vnni --acc-bits 14
t 'an accumulator twice' 1 allocate $dense,16 --limit size=95%
t 'pairs' 0 allocate $F/dense.onnx --calib "$T/dense.csv" --candidates 8/8,4/8 --acc-bits 32,pairs32 --limit size=95% --explain
has out 'pairs: 8-bit products may saturate' '^  left out: W8A8Q32 of group .*and a pair of products may saturate; 32 are offered behind 16-bit pairs$'

echo '{"format": "qverify-gains/1", "gains": {"h": "0.01", "m": 0.5}}' >"$T/gains.json"
t 'compare with gains' 0 compare $F/dense.onnx --calib "$T/dense.csv" --candidates 8/8,4/8 --alps "$T/gains.json" --cost size --at 92% --json "$T/r.json"
has out 'compare: row alps' '^ +alps +[0-9.e-]+ '
has out 'compare: memory is a column' '^ +method +loss +gap % +size +bops +activations +acc +ram +max-acc '
check 'compare: the report follows the schema' "$TOOLS/schema_check" docs/allocation.schema.json "$T/r.json"
echo '{"format": "qverify-gains/1", "gains": {"h": "0.01"}}' >"$T/gains.json"
t 'a gain is missing' 2 compare $F/dense.onnx --calib "$T/dense.csv" --alps "$T/gains.json"
has err 'a gain is missing: which' 'gain of layer "m" is missing'

finish
