#!/bin/sh
# Float networks of others: what the published methods and the certified optimum choose, as integers that are executed and counted.
# Reads $QV_DATA; NETWORKS="name .." runs some only, TEST=N takes N test samples (default 500), CANDIDATES=W/A,.. other widths.
set -eu
cd "$(dirname "$0")/../.."
data=$(cd "${QV_DATA:-../shared/data}" 2>/dev/null && pwd) || { echo "SKIPPED: ${QV_DATA:-../shared/data} is not there"; exit 0; }
[ -n "${QVERIFY:-}" ] || make -s all
qverify=${QVERIFY:-./qverify}
n=${TEST:-500} calib=64
t=build/bench/nets
mkdir -p $t

# be32 N: four bytes, big-endian, for printf
be32() { printf '\\%03o\\%03o\\%03o\\%03o' $(($1 >> 24 & 255)) $(($1 >> 16 & 255)) $(($1 >> 8 & 255)) $(($1 & 255)); }
# idx FIRST COUNT: a piece of MNIST's test images
idx() {
  printf "\\000\\000\\010\\003$(be32 "$2")$(be32 28)$(be32 28)"
  gunzip -c "$data/data/mnist/t10k-images-idx3-ubyte.gz" | tail -c +$((17 + 784 * $1)) | head -c $((784 * $2))
}
# npy SHAPE: header of an array of int8 (version 1.0; the header's length is 118)
npy() { printf '\223NUMPY\001\000\166\000%-117s\n' "{'descr': '|i1', 'fortran_order': False, 'shape': $1, }"; }

if [ -f "$data/data/mnist/t10k-images-idx3-ubyte.gz" ]; then
  idx 0 "$n" >$t/mnist.idx
  idx 9000 $calib >$t/mnist_calib.idx
  gunzip -c "$data/data/mnist/t10k-labels-idx1-ubyte.gz" | tail -c +9 | head -c "$n" | od -An -v -tu1 >$t/mnist.txt
fi
if [ -f "$data/data/mlperf_tiny/kws01_features_int8.bin" ]; then
  { npy "($n, 49, 10)"; head -c $((490 * n)) "$data/data/mlperf_tiny/kws01_features_int8.bin"; } >$t/kws.npy
  { npy "($calib, 49, 10)"; tail -c $((490 * calib)) "$data/data/mlperf_tiny/kws01_features_int8.bin"; } >$t/kws_calib.npy
  awk -F, -v n="$n" 'NR > 1 && NR <= n + 1 { print $3 }' "$data/data/mlperf_tiny/kws01_labels.csv" >$t/kws_labels.txt
fi
if [ -f "$data/data/eran/cifar10_test.csv" ]; then # 100 images only: the calibration images are among them, their labels are not used
  cut -d, -f2- "$data/data/eran/cifar10_test.csv" >$t/cifar.csv
  head -n $calib $t/cifar.csv >$t/cifar_calib.csv
  cut -d, -f1 "$data/data/eran/cifar10_test.csv" >$t/cifar.txt
fi
uniform() { awk -v n="$1" -v s="$2" 'BEGIN { srand(s); for (i = 0; i < n; i++) { for (k = 0; k < 5; k++) printf "%s%.6f", k ? "," : "", 1.2 * rand() - 0.6; print "" } }'; }
uniform "$n" 1 >$t/acas.csv
uniform $calib 2 >$t/acas_calib.csv

# net NAME FILE OPTION..: one network
net() {
  name=$1 file=$data/$2
  shift 2
  case " ${NETWORKS:-$name} " in *" $name "*) ;; *) return 0 ;; esac
  [ -f "$file" ] || { echo "SKIPPED: $file is not there"; return 0; }
  echo "== $name"
  "$qverify" compare "$file" --candidates "${CANDIDATES:-8/8,4/8,3/8,2/8,4/4}" --samples $calib --cost size "$@" --json $t/$name.json --figure $t/$name.html >$t/$name.txt ||
    echo "exit code $?"
  sed "s|^$data/||" $t/$name.txt
  # the first row of uniform W8A8: columns from the right are limits, bytes, bits, accuracy
  awk '/accuracy of the float network/ { f = $(NF - 1); known = 1 }
       known && /^ *uniform W8A8 / { a = $(NF - 3); d = f - a; printf "8 bit %.2f %%, float %.2f %%: %s 0.5 points\n", a, f, d <= 0.5 ? "within" : "MORE THAN"; exit }' $t/$name.txt
}
mnist="--calib $t/mnist_calib.idx --test $t/mnist.idx"
net acasxu_1_1 vnncomp/acasxu/ACASXU_run2a_1_1_batch_2000.onnx --calib $t/acas_calib.csv --test $t/acas.csv
net mnist_valid tflite/tinymaix/mnist_valid_f.tflite $mnist --test-labels $t/mnist.txt
net mnist_resnet tflite/tinymaix/mnist_resnet_f.tflite $mnist --test-labels $t/mnist.txt
net mnist_256x2 vnncomp/mnistfc/mnist-net_256x2.onnx $mnist --test-labels $t/mnist.txt
net kws tflite/mlperf_tiny/kws_ref_model_float32.tflite --calib $t/kws_calib.npy --test $t/kws.npy --test-labels $t/kws_labels.txt \
  --pixel-scale 0.584702909 --pixel-offset -48.530341447
net resnet8 tflite/mlperf_tiny/pretrainedResnet.tflite --calib $t/cifar_calib.csv --test $t/cifar.csv --test-labels $t/cifar.txt
