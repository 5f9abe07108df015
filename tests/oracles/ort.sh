#!/bin/sh
# Compare qverify with ONNX Runtime, also on an emulated CPU with AVX2 only, and with ONNX's reference evaluator: ort.py.
# Options: tests/oracles/lib.sh, and
#   ORACLE_QEMU    how to emulate the CPU   (qemu-x86_64 -cpu Haswell, from Debian's qemu-user)
set -uf
. "$(dirname "$0")/lib.sh"

py=$(python python3.11 python3.12 python3.13 python3.10 python3) || { skip "ONNX Runtime: no Python with venv"; exit 77; }
install ort onnxruntime "$py" onnxruntime onnx numpy || exit 77
qemu=${ORACLE_QEMU:-qemu-x86_64 -cpu Haswell}
# shellcheck disable=SC2086  # a command with options
command -v ${qemu%% *} >/dev/null 2>&1 || qemu=""

# shellcheck disable=SC2086  # a list of patterns
exec "$dir/ort/bin/python" "$here/ort.py" --qverify "$qverify" --dir "$dir/onnx" --models "${ORACLE_MODELS:-6}" --seed "${ORACLE_SEED:-1}" \
  --qemu "$qemu" ${ORACLE_VERBOSE:+--verbose} ${ORACLE_KINDS:-}
