# qverify run, lower, info on models with known answers.
. "$(dirname "$0")/lib.sh"
fc_model >"$T/fc.qir"
two_model >"$T/two.qir"
copy_model >"$T/copy.qir"

bytes() { od -An -v "$@" | tr -s ' \n' ' ' | sed 's/^ //; s/ $//'; }
same() { if [ "$2" = "$3" ]; then ok "$1"; else not_ok "$1: got '$2', expected '$3'"; fi; }

# a + b, and a itself; three samples of two elements
printf '\001\002\177\177\200\200' >"$T/a.bin"
printf '\001\375\177\001\200\377' >"$T/b.bin"
t 'two inputs, two outputs' 0 run "$T/two.qir" -i "$T/a.bin" -i "$T/b.bin" -o "$T/s.bin" -o "$T/a2.bin"
same 'sums, by hand' "$(bytes -td2 "$T/s.bin")" '2 -1 254 128 -256 -129'
check 'the second output is the first input' cmp "$T/a.bin" "$T/a2.bin"
t '.npy output' 0 run "$T/two.qir" -i "$T/a.bin" -i "$T/b.bin" -o "$T/s.npy" -o "$T/a.npy"
check 'stdout is empty' test ! -s "$T/out"
check '.npy header' grep -qa "'descr': '<i2', 'fortran_order': False, 'shape': (3, 2)" "$T/s.npy"
same '.npy data' "$(tail -c 12 "$T/s.npy" | bytes -td2)" '2 -1 254 128 -256 -129'
t '.npy input' 0 run "$T/two.qir" -i "$T/a.npy" -i "$T/b.bin" -o "$T/s2.bin" -o "$T/a2.bin"
check '.npy input gives the same' cmp "$T/s.bin" "$T/s2.bin"
t 'a value that does not fit' 2 run "$T/two.qir" -i "$T/s.npy" -i "$T/b.bin" -o "$T/x" -o "$T/y"
has err 'a value that does not fit: file' 's.npy: .*254'
t 'sample counts differ' 2 run "$T/two.qir" -i "$T/a.bin" -i "$T/fc.qir" -o "$T/x" -o "$T/y"
t 'output on stdout' 0 run "$T/two.qir" -i "$T/a.bin" -i "$T/b.bin" -o - -o "$T/a2.bin"
check 'stdout holds the tensor and nothing else' cmp "$T/s.bin" "$T/out"
printf '0\n1\n0\n' >"$T/labels"
t 'accuracy only' 0 run "$T/two.qir" -i "$T/a.bin" -i "$T/b.bin" --labels "$T/labels"
has out 'accuracy, first largest element' '^accuracy: 1 of 3 \(33\.33 %\)$'
t 'accuracy beside a tensor on stdout' 0 run "$T/two.qir" -i "$T/a.bin" -i "$T/b.bin" -o - -o "$T/a2.bin" --labels "$T/labels"
check 'stdout still holds the tensor only' cmp "$T/s.bin" "$T/out"
has err 'accuracy on stderr' '^accuracy: '

for isa in portable avx2 avx512vnni; do
  "$QVERIFY" run "$T/two.qir" -i "$T/a.bin" -i "$T/b.bin" -o "$T/i.bin" -o "$T/a2.bin" --isa $isa --threads 2 >"$T/out" 2>"$T/err"
  rc=$?
  if ((rc == 0)); then check "$isa gives the same" cmp "$T/s.bin" "$T/i.bin"; elif ((rc == 3)); then skip "$isa: not on this machine"; else
    not_ok "$isa: exit $rc"
  fi
done

# real = (q - 1) / 2
printf '\001\002\200' >"$T/q.bin"
t 'real values' 0 run "$T/copy.qir" -i "$T/q.bin" -o "$T/r.bin" --real
same 'real values, by hand' "$(bytes -tf4 "$T/r.bin")" '0 0.5 -64.5'
t 'real .npy' 0 run "$T/copy.qir" -i "$T/q.bin" -o "$T/r.npy" --real
check 'real .npy header' grep -qa "'descr': '<f4'" "$T/r.npy"

# lower is canonical and reads back
t 'lower' 0 lower "$T/fc.qir" -o "$T/fc2.qir"
check 'canonical text is a fixed point' cmp "$T/fc.qir" "$T/fc2.qir"
t 'lower to stdout' 0 lower "$T/fc.qir" --output -
check 'lower to stdout gives the same' cmp "$T/fc.qir" "$T/out"
t 'info' 0 info "$T/fc.qir"
has out 'info: input' 'x +u8 +1x2 +\[0,255\] +0\.00390625 +0 '
has out 'info: totals' '2 nodes, 4 weights, 4 multiply-adds'
t 'info with kernels' 0 info -v "$T/fc.qir"

# the example, against the golden outputs of a TFLite runtime and the labels
S=examples/shapes
if [ -f $S/shapes.tflite ]; then
  for m in shapes wide; do
    want=$(awk -v m=$m.tflite '$1 == m { print $4 " of " $2 }' $S/expected.txt)
    gold=$S/golden_tflite_builtin.bin
    if [ $m = wide ]; then gold=$S/golden_wide_tflite_builtin.bin; fi
    t "$m: accuracy" 0 run $S/$m.tflite -i $S/test_images.npy -o "$T/o.bin" --labels $S/test_labels.txt
    has out "$m: expected accuracy" "^accuracy: $want "
    check "$m: every output byte of the TFLite runtime" cmp "$T/o.bin" $gold
    t "$m: lower" 0 lower $S/$m.tflite -o "$T/$m.qir"
    t "$m: the .qir gives the same" 0 run "$T/$m.qir" -i $S/test_images.npy -o "$T/o2.bin"
    check "$m: same bytes" cmp "$T/o.bin" "$T/o2.bin"
    t "$m: 32 bits are enough" 0 overflow $S/$m.tflite
  done
  t 'wide: 16 bits are not' 10 overflow $S/wide.tflite --acc-bits 16 --cex "$T/cex.npy"
  t 'wide: the counterexample runs' 0 run $S/wide.tflite -i "$T/cex.npy" -o "$T/o.bin"
else skip 'examples/shapes is not there'; fi
finish
