#!/bin/sh
# Compare qverify with live runtimes on random models: tflite.sh, ort.sh. Options: lib.sh.
# Exit status: 0 no difference, 1 differences or a failure, 77 nothing could be compared.
here=$(cd "$(dirname "$0")" && pwd)
"$here/ort.sh"
onnx=$?
"$here/tflite.sh"
tflite=$?
[ $onnx = 77 ] && [ $tflite = 77 ] && exit 77
for rc in $onnx $tflite; do
  [ "$rc" = 0 ] || [ "$rc" = 77 ] || exit 1
done
