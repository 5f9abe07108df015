#!/bin/sh
# Our engines, Z3, cvc5, boolector and GLPK on the same 60 queries with the same limit, one after the other in one run.
#   benchmarks/smt/run.sh [SECONDS per query] [QUERIES per cell] [ENGINE ...]
set -eu
cd "$(dirname "$0")/../.."
data=${QV_DATA:-../shared/data}
[ -d "$data/verif" ] || { echo "SKIPPED: $data/verif is not there"; exit 0; }
for tool in cvc5 boolector; do
  command -v $tool >/dev/null || echo "SKIPPED: $tool is not installed (Debian: apt-get install $tool)"
done
seconds=${1:-2}
[ $# -eq 0 ] || shift
per_cell=${1:-15}
[ $# -eq 0 ] || shift
make -s lib
mkdir -p build/bench
${CC:-gcc} -std=c11 -O2 -D_GNU_SOURCE -I. -o build/bench/smt benchmarks/smt/bench.c build/release/libqverify.a \
  -lcjson -lnettle -lzip -lz -lprotobuf-c -lgmp -lm -pthread
echo "== $per_cell queries a cell, at most $seconds s a query"
build/bench/smt "$data" "$seconds" "$per_cell" "$@"
