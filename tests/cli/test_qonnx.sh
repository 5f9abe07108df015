# QONNX graphs and N2UQ files from the command line.
. "$(dirname "$0")/lib.sh"
M=tests/corpus/onnx/qonnx_3.onnx # Quant, Gemm, ...: sums from -13 to 5
N=examples/n2uq/digits.json

t 'info' 0 info $M --profile qonnx-exact
has out 'info: the float end' 'float, compared with thresholds'
t 'no profile' 1 info $M
has err 'no profile: they are listed' 'name the runtime with a profile: .*qonnx-exact, finn, wrapnet, ap_fixed'
t 'a profile of another kind' 3 info $M --profile ort-vnni
has err 'another kind: what to name' 'name a profile such as qonnx-exact'
t 'missing parameter' 1 info $M --profile wrapnet
has err 'missing parameter: the form' "its form is wrapnet:P\[@GRID\]"
t 'bad parameter' 1 info $M --profile wrapnet:99
t 'profiles' 0 profiles
has out 'profiles: with parameters' 'ap_fixed:W,I\[,SAT\]\[@GRID\] +ONNX'

t 'proved' 0 overflow $M --profile wrapnet:5
has out 'proved: by the checker' '^VERIFIED: .*accepted by qverify-check'
has out 'proved: the domain' 'float32 value, by its order number'
t 'refuted' 10 overflow $M --profile wrapnet:4 --cex "$T/x.npy"
has out 'refuted: the 4-bit accumulator' 'the 4-bit accumulator wraps to'
t 'the counterexample runs' 0 run $M --profile wrapnet:4 --input "$T/x.npy" --output "$T/y.npy"
t 'a grid' 0 overflow $M --profile wrapnet:5@i8/16 --certificate "$T/c.qvc"
has out 'a grid is an assumption' 'is taken to hold q/16 with q from -128 to 127'
t 'the certificate' 0 check "$T/c.qvc"
t 'lower' 0 lower $M --profile finn:7 --output "$T/m.qir"
check 'lower: thresholds' grep -q '^threshold inner' "$T/m.qir"
check 'lower: the parameter is kept' grep -q '^profile "finn:7"$' "$T/m.qir"
t 'lower is canonical' 0 lower "$T/m.qir" --output "$T/m2.qir"
check 'lower: the same bytes' cmp -s "$T/m.qir" "$T/m2.qir"

t 'n2uq: info' 0 info $N
has out 'n2uq: format' 'n2uq model'
t 'n2uq: proved' 0 overflow $N
t 'n2uq: no profile fits' 1 overflow $N --profile qonnx-exact
sed 's/"wrap_bits": 10/"wrap_bits": 6/' $N >"$T/n.json"
t 'n2uq: refuted' 10 overflow "$T/n.json" --cex "$T/x.npy"
t 'n2uq: the counterexample runs' 0 run "$T/n.json" --input "$T/x.npy" --output "$T/y.npy"
sed 's/"format"/"fromat"/' $N >"$T/bad.json"
t 'n2uq: mistake' 2 info "$T/bad.json"
has err 'n2uq: mistake named' "unknown member 'fromat'"
finish
