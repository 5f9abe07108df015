#!/bin/sh
# Quantize, allocate and export float networks, and compare the exported files with ONNX Runtime and QONNX's executor: exports.py.
# Options: tests/oracles/lib.sh, and
#   QV_DATA         folder of the networks and samples   (../shared/data beside the repository)
#   ORACLE_SAMPLES  inputs per network                   (1000)
#   ORACLE_NETS     patterns of networks                 (all)
set -uf
. "$(dirname "$0")/lib.sh"

py=$(python python3.11 python3.12 python3.13 python3.10 python3) || { skip "exports: no Python with venv"; exit 77; }
install ort onnxruntime "$py" onnxruntime onnx numpy || exit 77
install qonnx qonnx "$py" qonnx==1.0.0 'onnx<1.20' && executor=$dir/qonnx/bin/python
# shellcheck disable=SC2086  # a list of patterns
exec "$dir/ort/bin/python" "$here/exports.py" --qverify "$qverify" --dir "$dir/exports" --data "${QV_DATA:-$root/../shared/data}" \
  --samples "${ORACLE_SAMPLES:-1000}" --qonnx "${executor:-}" ${ORACLE_NETS:-}
