#!/bin/sh
# Build and run the kernel benchmark; then the same models on native TFLite, if a Python with it is given.
#   benchmarks/kernels/run.sh [MODEL.tflite ...]      default models: KWS and ResNet-8 of $QV_DATA
#   QV_TFLITE_PYTHON=VENV/bin/python                  a Python that has tflite_runtime or ai_edge_litert
set -eu
cd "$(dirname "$0")/../.."
data=${QV_DATA:-../shared/data}
if [ $# -eq 0 ]; then
  for m in kws_ref_model pretrainedResnet_quant; do
    f=$data/tflite/mlperf_tiny/$m.tflite
    if [ -f "$f" ]; then set -- "$@" "$f"; else echo "SKIPPED: $f is not there"; fi
  done
fi
make -s lib # SKIP=... in the environment leaves files out
mkdir -p build/bench
${CC:-gcc} -std=c11 -O2 -D_GNU_SOURCE -I. -o build/bench/kernels benchmarks/kernels/bench.c build/release/libqverify.a \
  -lcjson -lnettle -lzip -lz -lgmp -lm -pthread
build/bench/kernels "$@"
if [ -z "${QV_TFLITE_PYTHON:-}" ]; then
  echo; echo "SKIPPED: native TFLite (set QV_TFLITE_PYTHON to a Python with tflite_runtime or ai_edge_litert)"
elif [ $# -gt 0 ]; then
  "$QV_TFLITE_PYTHON" benchmarks/kernels/tflite.py "$@"
fi
