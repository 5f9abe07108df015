#!/bin/sh
# Allocation: published tables (those of $QV_DATA/alloc), the gap table, GLPK's wrong answers, and times on synthetic tables.
set -eu
cd "$(dirname "$0")/../.."
data=${QV_DATA:-../shared/data}
make -s all
mkdir -p build/bench
if [ -f "$data/alloc/hawqv3_resnet18.json" ] && command -v python3 >/dev/null; then
  t=build/bench/resnet18.json
  benchmarks/alloc/hawq_table.py "$data/alloc/hawqv3_resnet18.json" >$t
  for cost in size bops latency; do
    echo "== HAWQ-V3 ResNet18, $cost"
    ./qverify compare $t --cost $cost --grid 100 --figure build/bench/resnet18_$cost.html | sed -n '/^Excess/,$p'
  done
  echo "== HAWQ-V3 ResNet18, size, bops and latency together at 25, 50 and 75 % of their ranges"
  for r in 25 50 75; do ./qverify allocate $t --limit size=$r%range --limit bops=$r%range --limit latency=$r%range | grep -E '^(Loss|OPTIMAL)'; done
  echo "== the integer program that GLPK 5.0 answers with 0.5544541886"
  benchmarks/alloc/lp_table.py "$data/alloc/glpk50_wrong_optimum.lp" >build/bench/lp.json
  ./qverify allocate build/bench/lp.json | grep -E '^(Loss|OPTIMAL)'
  echo "== MCT's knapsacks"
  benchmarks/alloc/mct_table.py "$data/alloc/mct_lp_cases.json" all build/bench
  for c in build/bench/case*.json; do ./qverify allocate "$c" | grep -E '^(OPTIMAL|INFEASIBLE|UNKNOWN)' || true; done
else echo "SKIPPED: $data/alloc or python3 is not there"; fi
echo "== times, one core"
${CC:-gcc} -std=c11 -O2 -D_GNU_SOURCE -I. -o build/bench/alloc benchmarks/alloc/bench.c build/release/libqverify.a -lcjson -lnettle -lglpk -lgmp -lm
build/bench/alloc build/release/qverify-check 50 4 1 50 20 50 4 3 50 20 52 4 3 65 20 52 4 3 80 20 100 7 3 60 5 50 4 6 60 5 20 3 1 0 10 50 4 1 0 3
benchmarks/alloc/networks.sh
