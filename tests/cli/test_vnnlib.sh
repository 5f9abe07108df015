# qverify verify, supports, and the scripts of contrib/vnncomp.
. "$(dirname "$0")/lib.sh"
fc_model >"$T/fc.qir" # u8 x[2] with scale 2^-8 -> i8 y[2]
parabola_model >"$T/parabola.qir"
all_pairs >"$T/all.bin"
t 'all inputs' 0 run "$T/fc.qir" -i "$T/all.bin" -o "$T/y.bin"
od -An -v -w2 -td1 "$T/y.bin" >"$T/y.txt"

v2() { printf '(vnnlib-version <2.0>)\n(declare-network f (declare-input X uint8 [1,2]) (declare-output Y int8 [1,2]))\n%s\n' "$1"; }
v1() { printf '(declare-const X_0 Real)(declare-const X_1 Real)(declare-const Y_0 Real)(declare-const Y_1 Real)\n%s\n' "$1"; }

# ---- answers against all inputs -----------------------------------------------------------------------------------------------------
# name, assertion over X[0,0] X[0,1] Y[0,0] Y[0,1], the same as an awk condition over a b y z
compare() {
  local want got rc
  want=$(awk -v OFS= '{ a = int((NR - 1) / 256); b = (NR - 1) % 256; y = $1; z = $2; if ('"$3"') n++ } END { print n ? "sat" : "unsat" }' "$T/y.txt")
  v2 "(assert $2)" >"$T/q.vnnlib"
  "$QVERIFY" verify "$T/q.vnnlib" --network "f=$T/fc.qir" >"$T/out" 2>"$T/err"
  rc=$?
  got=$(head -n 1 "$T/out")
  if [ "$got" = "$want" ] && [ "$want $rc" = 'sat 10' -o "$want $rc" = 'unsat 0' ]; then ok "$1: $want"; else not_ok "$1: $got (exit $rc), all inputs say $want"; fi
  [ "$got" = sat ] || return 0
  # the assignment: an input of the table with these outputs, satisfying the condition
  if awk 'NR == FNR { y[NR - 1] = $1; z[NR - 1] = $2; next }
     { v[FNR] = $0 }
     END { a = v[3] + 0; b = v[4] + 0; i = 256 * a + b; yy = v[6] + 0; zz = v[7] + 0
           ok = v[2] == "X uint8 [1,2]" && v[5] == "Y int8 [1,2]" && FNR == 7 && yy == y[i] + 0 && zz == z[i] + 0
           exit !(ok && ('"$(sed 's/\by\b/yy/g; s/\bz\b/zz/g' <<<"$3")"')) }' "$T/y.txt" "$T/out"; then ok "$1: the assignment is right"; else
    not_ok "$1: wrong assignment"
    sed 's/^/  /' "$T/out"
  fi
}
compare 'bounds' '(and (>= X[0,0] 3) (<= X[0,0] 9) (>= Y[0,0] 2))' 'a >= 3 && a <= 9 && y >= 2'
compare 'order' '(and (<= X[0,0] 40) (> Y[0,0] Y[0,1]))' 'a <= 40 && y > z'
compare 'sum' '(>= (+ Y[0,0] Y[0,1]) 129)' 'y + z >= 129'
compare 'sum out of reach' '(>= (+ Y[0,0] Y[0,1]) 250)' 'y + z >= 250'
compare 'or' '(or (and (< X[0,0] 2) (< Y[0,1] -1)) (and (== X[0,1] 77) (!= Y[0,1] 127) (> Y[0,1] 50)))' '(a < 2 && z < -1) || (b == 77 && z != 127 && z > 50)'
compare 'fractions' '(and (> X[0,0] 12.5) (< X[0,0] 13.5) (<= (* 2.5 Y[0,1]) 24.9))' 'a == 13 && 2.5 * z <= 24.9'
# relations that fold to a bound on one variable
compare 'shifted' '(and (>= (+ X[0,0] 1) 3) (<= (* 2 (+ X[0,0] 3)) 13) (>= Y[0,0] 2))' 'a + 1 >= 3 && 2 * (a + 3) <= 13 && y >= 2'
compare 'the same input on both sides' '(and (<= (- X[0,0] X[0,1]) (- 3 X[0,1])) (>= Y[0,0] 20))' 'a <= 3 && y >= 20'
compare 'the same output on both sides' '(and (<= (+ X[0,0] Y[0,0]) (+ Y[0,0] 4)) (> Y[0,0] Y[0,1]))' 'a <= 4 && y > z'
compare 'a negative factor' '(and (>= (- 10 (* 3 X[0,1])) (- 5)) (<= X[0,0] 200) (>= Y[0,1] 90))' '10 - 3 * b >= -5 && a <= 200 && z >= 90'
compare 'nothing left: true' '(and (>= X[0,0] X[0,0]) (<= X[0,0] 30) (>= Y[0,0] 40))' 'a <= 30 && y >= 40'
compare 'inputs only' '(and (>= X[0,0] 255) (>= X[0,1] 255))' 'a >= 255 && b >= 255'

# ---- words, exit codes, streams ----------------------------------------------------------------------------------------------------------
v2 '(assert (and (>= X[0,0] 5) (<= X[0,0] 4)))' >"$T/q.vnnlib"
t 'contradiction' 5 verify "$T/q.vnnlib" --network "f=$T/fc.qir"
has out 'contradiction: the word' '^unsat$'
has err 'contradiction: told apart from a proof' 'vacuous'
v1 '(assert (and (>= X_0 0.5) (<= X_0 0.5) (<= X_1 0.25) (>= X_1 0.25) (<= Y_0 Y_1)))' >"$T/q1.vnnlib"
t 'version 1' 10 verify "$T/q1.vnnlib" --network "$T/fc.qir"
has out 'version 1: witness' '^\(\(X_0 0\.5\)$'
has out 'version 1: its end' '^\(Y_1 -?[0-9.]+\)\)$'
check 'version 1: first line' test "$(head -n 1 "$T/out")" = sat
t 'version 1, named' 10 verify "$T/q1.vnnlib" --network "f=$T/fc.qir"
t 'assignments in a file' 10 verify "$T/q1.vnnlib" --network "$T/fc.qir" --assignments "$T/a.txt"
check 'assignments in a file: nothing else on stdout' test "$(cat "$T/out")" = sat
check 'assignments in a file: there' grep -q '^((X_0 0.5)$' "$T/a.txt"
v2 '(assert (and (== X[0,0] 7) (== X[0,1] 250)))' >"$T/q.vnnlib"
t 'serialised' 10 verify "$T/q.vnnlib" --network "f=$T/fc.qir" --serialise-assignments "$T/pb"
check 'serialised: TensorProto' test "$(od -An -v -tx1 "$T/pb/X.pb" | tr -d ' \n')" = 0801080210024201584a0207fa
v2 '(assert (>= Y[0,0] 200))' >"$T/q.vnnlib"
t 'unsat with evidence' 0 verify "$T/q.vnnlib" --network "f=$T/fc.qir" --certificate "$T/certs"
check 'unsat with evidence: accepted' "$(dirname "$QVERIFY")/qverify-check" "$T/certs/net.qir" "$T/certs/case0.qvp" "$T/certs/case0.qvc"
t 'unknown' 5 verify "$T/q.vnnlib" --network "f=$T/fc.qir" --engine attack
has out 'unknown: the word' '^unknown$'
t 'network missing' 1 verify "$T/q.vnnlib"
t 'two networks' 1 verify "$T/q.vnnlib" --network "f=$T/fc.qir" --network "g=$T/fc.qir"
t 'another name' 1 verify "$T/q.vnnlib" --network "g=$T/fc.qir"
t 'query missing' 2 verify "$T/none.vnnlib" --network "f=$T/fc.qir"
t 'model missing' 2 verify "$T/q.vnnlib" --network "f=$T/none.qir"
v2 '(assert (>= Y[0,2] 200))' >"$T/bad.vnnlib"
t 'ill-formed' 2 verify "$T/bad.vnnlib" --network "f=$T/fc.qir"
has err 'ill-formed: line' 'bad.vnnlib: line 3: '
sed 's/uint8/float64/' "$T/q.vnnlib" >"$T/bad.vnnlib"
t 'type without exact meaning' 3 verify "$T/bad.vnnlib" --network "f=$T/fc.qir"
sed 's/uint8/int8/' "$T/q.vnnlib" >"$T/bad.vnnlib"
t 'another type than the model' 2 verify "$T/bad.vnnlib" --network "f=$T/fc.qir"
v2 '(assert (>= X[0,0] X[0,1]))' >"$T/bad.vnnlib"
v2 '(assert (<= (+ X[0,0] Y[0,0]) 3))' >"$T/bad2.vnnlib"
t 'constraint between inputs and outputs' 3 verify "$T/bad2.vnnlib" --network "f=$T/fc.qir"
has err 'constraint between inputs and outputs: by name' 'inputs'
t 'constraint between inputs' 3 verify "$T/bad.vnnlib" --network "f=$T/fc.qir"

# a float end: binary32 inputs, quantized as the net does it
sed 's/end int name "x"/end quant_even name "x"/' "$T/fc.qir" >"$T/float.qir"
printf '(vnnlib-version <2.0>)\n(declare-network f (declare-input X float32 [1,2]) (declare-output Y int8 [1,2]))\n(assert (and (> X[0,0] 0.0400) (<= X[0,0] 0.0430) (== X[0,1] 0) (== Y[0,0] -1)))\n' >"$T/q.vnnlib"
t 'float end' 10 verify "$T/q.vnnlib" --network "f=$T/float.qir"
x=$(sed -n 3p "$T/out")
check 'float end: within the bounds' awk -v x="$x" 'BEGIN { exit !(x > 0.04 && x <= 0.043) }'

# ---- supports ------------------------------------------------------------------------------------------------------------------------------
t 'supports: versions' 0 supports --vnnlib-versions
check 'supports: versions: two lines' test "$(cat "$T/out")" = $'1.0\n2.0'
for c in onnx-opset-versions onnx-element-types onnx-operators hidden-node-theories multiple-input-output-theories multiple-network-theories \
  multiple-node-comparison-theories arithmetic-complexity-theories optimised-disjunctive-reasoning serialise-assignments; do
  t "supports: $c" 0 supports --$c
  has out "supports: $c: an answer" '^[A-Za-z0-9]'
done
t 'supports: nothing asked' 1 supports
t 'supports: unknown' 1 supports --colour
t 'name' 0 --name
check 'name: one line' test "$(cat "$T/out")" = qverify

# ---- competition scripts ----------------------------------------------------------------------------------------------------------------------
V=contrib/vnncomp
export QVERIFY
check 'scripts: prepare' $V/prepare_instance.sh v1 small "$T/fc.qir" "$T/q1.vnnlib"
if $V/prepare_instance.sh v1 small "$T/fc.qir" "$T/none.vnnlib" 2>/dev/null; then not_ok 'scripts: prepare without query'; else ok 'scripts: prepare without query'; fi
check 'scripts: run' $V/run_instance.sh v1 small "$T/fc.qir" "$T/q1.vnnlib" "$T/res" 10
check 'scripts: run: sat' test "$(head -n 1 "$T/res")" = sat
check 'scripts: run: witness' sh -c "sed -n '2p' '$T/res' | grep -q '^((X_0 0.5)'"
check 'scripts: run: named network' $V/run_instance.sh v1 small "$T/float.qir" "$T/q.vnnlib" "$T/res" 10
check 'scripts: run: named network: sat' test "$(head -n 1 "$T/res")" = sat
D=${QV_DATA:-../shared/data}/vnncomp/test
if [ -r "$D/test_small.onnx" ]; then
  check 'scripts: a float network' sh -c "$V/run_instance.sh v1 test '$D/test_small.onnx' '$D/test_small.vnnlib' '$T/res' 5 2>/dev/null"
  check 'scripts: a float network: unknown' test "$(cat "$T/res")" = unknown
else skip 'SKIPPED: VNN-COMP test nets are not here'; fi
finish
