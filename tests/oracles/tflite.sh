#!/bin/sh
# Compare qverify with TFLite runtimes on random models. Options: tests/oracles/lib.sh, and
#   ORACLE_OLD_PYTHON  a Python from 3.7 to 3.10, for TensorFlow 2.9.0 (python3.10 ... python3.7 are tried)
#   ORACLE_VERBOSE not empty: also list the kinds without differences
#   QVERIFY        the program      (./qverify)
# Exit status: 0 no difference, 1 differences, 77 nothing could be compared.
set -uf
. "$(dirname "$0")/lib.sh"
models=$dir/models
kinds=${ORACLE_KINDS:-}

new=$(python python3.11 python3.12 python3.13 python3.10 python3) || { skip "no Python with venv"; exit 77; }
# The generator needs this one: it carries the schema.
install litert ai_edge_litert.interpreter "$new" ai-edge-litert==2.3.0 || exit 77
litert=$dir/litert/bin/python

# tflite-micro's wheels follow its main branch. Later ones derive the multiplier of int8 FULLY_CONNECTED otherwise (2026-10).
have_tflm=no have_tf=no have_wasm=no
install tflm tflite_micro "$new" tflite-micro==0.dev20260203175027 numpy && have_tflm=yes
if old=$(python ${ORACLE_OLD_PYTHON:-} python3.10 python3.9 python3.8 python3.7); then
  install tf tensorflow.lite.python.interpreter "$old" tensorflow-cpu==2.9.0 'numpy<2' 'protobuf<3.20' setuptools && have_tf=yes
else
  skip "tensorflow 2.9.0 needs a Python from 3.7 to 3.10"
fi
if command -v node >/dev/null 2>&1 && command -v npm >/dev/null 2>&1; then
  if [ ! -d "$dir/npm/node_modules/@litertjs/core" ]; then
    say "installing @litertjs/core 2.5.3"
    mkdir -p "$dir/npm" && echo '{"private": true}' >"$dir/npm/package.json"
    (cd "$dir/npm" && npm install --ignore-scripts --no-audit --no-fund @litertjs/core@2.5.3) >"$dir/npm.log" 2>&1
  fi
  if [ -d "$dir/npm/node_modules/@litertjs/core" ]; then have_wasm=yes; else skip "@litertjs/core could not be installed, see $dir/npm.log"; fi
else
  skip "the WebAssembly build of LiteRT needs node and npm"
fi
skip "tflite-single: no such build is on a package registry"

say "generating models (seed ${ORACLE_SEED:-1})"
rm -rf "${models:?}"
# shellcheck disable=SC2086  # a list of patterns
"$litert" "$here/gen.py" "$models" "${ORACLE_MODELS:-6}" "${ORACLE_SEED:-1}" $kinds || exit 1

worker="$here/worker.py"
set -- --runtime "litert=$litert $worker litert" --runtime "litert-xnnpack=$litert $worker litert-xnnpack"
[ $have_tflm = yes ] && set -- "$@" --runtime "tflm=$dir/tflm/bin/python $worker tflm"
[ $have_tf = yes ] && set -- "$@" --runtime "tf=$dir/tf/bin/python $worker tf"
[ $have_wasm = yes ] && set -- "$@" --runtime "litert-wasm=env --chdir=$dir/npm node $here/worker.mjs"
[ -n "${ORACLE_VERBOSE:-}" ] && set -- "$@" --verbose
exec "$litert" "$here/compare.py" --models "$models" --qverify "$qverify" "$@"
