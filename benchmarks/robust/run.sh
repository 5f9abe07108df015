#!/bin/sh
# Robustness of the fixed-point MNIST nets of $QV_DATA: counts and times per set, one core.
#   benchmarks/robust/run.sh [SECONDS per query] [SET ...]    sets: aaai21, refuted, NET or NET:RADIUS
set -eu
cd "$(dirname "$0")/../.."
data=${QV_DATA:-../shared/data}
[ -d "$data/verif" ] || { echo "SKIPPED: $data/verif is not there"; exit 0; }
seconds=${1:-5}
[ $# -eq 0 ] || shift
[ $# -gt 0 ] || set -- aaai21 refuted P1-4:2 P2-6:2
make -s lib
mkdir -p build/bench
${CC:-gcc} -std=c11 -O2 -D_GNU_SOURCE -I. -o build/bench/robust benchmarks/robust/bench.c build/release/libqverify.a \
  -lcjson -lnettle -lzip -lz -lprotobuf-c -lgmp -lm -pthread
for s; do
  echo "== $s, at most $seconds s a query"
  build/bench/robust "$data" "$s" "$seconds"
done
