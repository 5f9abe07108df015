# Bad files: exit 2 or 3 with a message that names the file; results that cannot be written: exit 6.
. "$(dirname "$0")/lib.sh"
fc_model >"$T/m.qir"
printf '\001\002' >"$T/x.bin"

for c in info 'lower -o -' overflow "run --input $T/x.bin --output $T/y.bin"; do
  n=${c%% *}
  t "$n: missing file" 2 $c "$T/none.tflite"
  has err "$n: missing file is named" "^qverify: $T/none.tflite: No such file"
  t "$n: directory" 2 $c "$T"
  has err "$n: directory is named" 'directory'
  : >"$T/empty.tflite"
  t "$n: empty file" 2 $c "$T/empty.tflite"
  has err "$n: empty file is named" 'empty.tflite: '
  head -c 64 /dev/urandom >"$T/noise"
  t "$n: noise" 2 $c "$T/noise"
done
if [ "$(id -u)" = 0 ]; then skip 'unreadable file (running as root)'; else
  cp "$T/m.qir" "$T/secret.qir" && chmod 0 "$T/secret.qir"
  t 'unreadable file' 2 info "$T/secret.qir"
fi
sed 's/^nodes 2/nodes 02/' "$T/m.qir" >"$T/bad.qir"
t 'ill-formed .qir' 2 info "$T/bad.qir"
has err 'ill-formed .qir: line' 'bad.qir: line 14: .*nodes'
sed '/^end$/d' "$T/m.qir" >"$T/cut.qir"
t 'cut .qir' 2 overflow "$T/cut.qir"
if [ -f examples/shapes/shapes.tflite ]; then
  for n in 1 8 100 1000 3000 6000; do
    head -c $n examples/shapes/shapes.tflite >"$T/cut.tflite"
    t "cut .tflite at $n" 2 info "$T/cut.tflite"
  done
fi

# inputs and labels
m=$T/m.qir
r() { # NAME EXIT INPUT [more]
  local name=$1 want=$2 in=$3
  shift 3
  t "$name" "$want" run "$m" --input "$in" --output "$T/y.bin" "$@"
}
r 'two bytes' 0 "$T/x.bin"
r 'input missing' 2 "$T/none.npy"
has err 'input missing is named' 'none.npy'
printf '\001' >"$T/one.bin"
r 'half a sample' 2 "$T/one.bin"
has err 'half a sample: file and sizes' 'one.bin: .*[0-9]'
: >"$T/nothing.bin"
r 'no sample' 2 "$T/nothing.bin"
r 'a directory as input' 2 "$T"
printf '\x93NUMPY\x01\x00' >"$T/cut.npy"
r 'cut .npy' 2 "$T/cut.npy"
t 'input count too small' 1 run "$m" --output "$T/y.bin"
has err 'input count: says how many' "has 1 input \('x'\), but --input is given 0 times"
t 'input count too large' 1 run "$m" --input a --input b --output "$T/y.bin"
t 'output count too large' 1 run "$m" --input "$T/x.bin" --output a --output b
echo '0' >"$T/l1"
r 'labels' 0 "$T/x.bin" --labels "$T/l1"
has out 'accuracy line' '^accuracy: [01] of 1 \((0|100)\.00 %\)$'
printf '0\n1\n' >"$T/l2"
r 'too many labels' 2 "$T/x.bin" --labels "$T/l2"
has err 'too many labels: counts' 'l2: 2 labels for 1 samples'
echo 'cat' >"$T/lx"
r 'a label that is no number' 2 "$T/x.bin" --labels "$T/lx"
echo '2' >"$T/l3"
r 'a label out of range' 2 "$T/x.bin" --labels "$T/l3"
r 'real values without a scale' 3 "$T/x.bin" --real
has err 'real values: which output' "output 'y'"
rm -f "$T/y.bin"
r 'a failed run' 3 "$T/x.bin" --real
check 'a failed run leaves no output file' test ! -e "$T/y.bin"

# An operator that is not modelled: turn SOFTMAX (25) into SVDF (27) wherever the byte may be its code.
if [ -f examples/shapes/shapes.tflite ]; then
  found=0
  for at in $(LC_ALL=C grep -obUaP '\x19' examples/shapes/shapes.tflite | cut -d: -f1); do
    cp examples/shapes/shapes.tflite "$T/svdf.tflite"
    printf '\033' | dd of="$T/svdf.tflite" bs=1 seek="$at" conv=notrunc 2>/dev/null
    "$QVERIFY" info "$T/svdf.tflite" >"$T/out" 2>"$T/err"
    if (($? == 3)) && grep -q SVDF "$T/err"; then
      found=1
      break
    fi
  done
  if ((found)); then
    for c in info 'lower -o -' overflow "run --input $T/x.bin --output $T/y.bin"; do t "unsupported operator: ${c%% *}" 3 $c "$T/svdf.tflite"; done
    has err 'unsupported operator: file and operator' 'svdf.tflite: .*SVDF'
    t 'unsupported operator, opaque: never a clean pass' 5 overflow "$T/svdf.tflite" --opaque
    has out 'opaque: named' 'SVDF'
    t 'opaque net in info' 0 info "$T/svdf.tflite" --opaque
  else not_ok 'no SVDF model could be made'; fi
fi

# writing
if [ -w /dev/full ]; then
  for c in "info $m" "overflow $m" "lower $m -o /dev/full" profiles --version --help "overflow $m --json /dev/full" \
    "run $m -i $T/x.bin -o /dev/full" "overflow $m --json -"; do
    "$QVERIFY" $c >/dev/full 2>"$T/err" </dev/null
    rc=$?
    if ((rc == 6)) && grep -q '^qverify: .*No space left' "$T/err"; then ok "full disk: $c"; else not_ok "full disk: exit $rc: $c"; fi
  done
  "$QVERIFY" overflow "$m" >&- 2>"$T/err" </dev/null
  rc=$?
  if ((rc == 6)); then ok 'closed stdout'; else not_ok "closed stdout: exit $rc"; fi
else skip 'no /dev/full'; fi
t 'output in a missing directory' 6 lower "$m" -o "$T/no/such/m.qir"
t 'report in a missing directory' 6 overflow "$m" --json "$T/no/such/r.json"
t 'report onto a directory' 6 overflow "$m" --json "$T"
echo precious >"$T/keep.qir"
t 'a failed run keeps the old output' 2 lower "$T/bad.qir" -o "$T/keep.qir"
check 'old output is untouched' grep -qx precious "$T/keep.qir"
check 'no temporary files are left' sh -c "! ls $T | grep -E '\.[A-Za-z0-9]{6}$' | grep -qvE '\.(tflite|bin|qir|npy)$'"

# hostile names
evil=$T/$(printf 'a\nb\033[31m\302\233c"d')
mkdir -p "$evil"
cp "$m" "$evil/m.qir"
t 'hostile file name' 0 info "$evil/m.qir"
hasnt out 'no escape sequence on stdout' $'\033|\302\233'
has out 'escaped instead' 'a\\x0ab\\x1b\[31m\\xc2\\x9bc"d'
LC_ALL=C.UTF-8 "$QVERIFY" info "$evil/m.qir" >"$T/out"
hasnt out 'no control characters in a UTF-8 locale either' $'\033|\302\233'
t 'hostile missing file' 2 info "$evil/none"
hasnt err 'no escape sequence on stderr' $'\033|\302\233'
check 'one line on stderr' sh -c "[ \$(wc -l <$T/err) = 1 ]"
t 'hostile report' 0 overflow "$evil/m.qir" --acc-bits 20 --json "$T/r.json"
valid_report 'hostile file name' "$T/r.json"
sed 's/op "FC"/op "F\\x1b[2JC"/; s/name "x"/name "x\\x07\\xff"/' "$m" >"$T/names.qir"
t 'hostile names in the model' 0 overflow "$T/names.qir" --json "$T/r.json"
hasnt out 'no control bytes on stdout' $'\033|\007|\377'
valid_report 'hostile names' "$T/r.json"
LC_ALL=C.UTF-8 "$QVERIFY" info "$m" >"$T/out" && has out 'UTF-8 where the locale has it' '1×2' || not_ok 'UTF-8 locale'
LC_ALL=C "$QVERIFY" info "$m" >"$T/out" && hasnt out 'ASCII where it has not' '[^ -~]' || not_ok 'C locale'
finish
