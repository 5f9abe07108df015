#!/bin/sh
# Compare qverify with live runtimes on random models: tflite.sh, ort.sh; and what it exports: exports.sh. Options: lib.sh.
# Exit status: 0 no difference, 1 differences or a failure, 77 nothing could be compared.
here=$(cd "$(dirname "$0")" && pwd)
"$here/ort.sh"
onnx=$?
"$here/tflite.sh"
tflite=$?
"$here/exports.sh"
exports=$?
[ $onnx = 77 ] && [ $tflite = 77 ] && [ $exports = 77 ] && exit 77
for rc in $onnx $tflite $exports; do
  [ "$rc" = 0 ] || [ "$rc" = 77 ] || exit 1
done
