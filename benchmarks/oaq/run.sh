#!/bin/sh
# 16-bit against 32-bit accumulation on AVX2: layer shapes, then models.
#   benchmarks/oaq/run.sh [MODEL.tflite ...]      default models: KWS and ResNet-8 of $QV_DATA
set -eu
cd "$(dirname "$0")/../.."
data=${QV_DATA:-../shared/data}
if [ $# -eq 0 ]; then
  for m in kws_ref_model pretrainedResnet_quant; do
    f=$data/tflite/mlperf_tiny/$m.tflite
    if [ -f "$f" ]; then set -- "$@" "$f"; else echo "SKIPPED: $f is not there"; fi
  done
fi
make -s lib
mkdir -p build/bench
${CC:-gcc} -std=c11 -O2 -D_GNU_SOURCE -I. -o build/bench/oaq benchmarks/oaq/bench.c build/release/libqverify.a \
  -lcjson -lnettle -lzip -lz -lprotobuf-c -lgmp -lm -pthread
build/bench/oaq "$@"
