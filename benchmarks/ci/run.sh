#!/bin/bash
# What `qverify ci` costs beside one `qverify robust` process: the same queries, the same evidence, one core.
#   benchmarks/ci/run.sh [QUERIES] [EPS]      fixed-point MNIST net P1-6 of $QV_DATA; default 1000 queries of distance 1
# ALONE=1: also with a process for each query. CORE: the core that is used, default 0.
set -euo pipefail
cd "$(dirname "$0")/../.."
data=${QV_DATA:-../shared/data}
n=${1:-1000} eps=${2:-1}
[ -d "$data/verif" ] || { echo "SKIPPED: $data/verif is not there"; exit 0; }
data=$(cd "$data" && pwd)
make -s progs
q=$PWD/build/release/qverify
t=$(mktemp -d)
trap 'rm -rf "$t"' EXIT
gunzip -c "$data/data/mnist/t10k-images-idx3-ubyte.gz" >"$t/images.idx"
gunzip -c "$data/data/mnist/t10k-labels-idx1-ubyte.gz" >"$t/labels.idx"
net=$data/verif/int_nets/P1-6.qtxt
cat >"$t/qverify.json" <<EOM
{"format":"qverify-ci/1","models":{"net":{"path":"$net"}},"obligations":[
 {"id":"q","check":"robust","model":"net","input":"images.idx","labels":"labels.idx","index":"0:$((n - 1))","eps":$eps,"timeout":10,"at_least":0}]}
EOM
TIMEFORMAT='%R s wall, %U s user, %S s system'
cpu() { awk -F'[ ,]+' '{printf "%.2f", $4 + $7}' "$1"; }
wall() { awk '{print $1}' "$1"; }
one() {
  { time taskset -c "${CORE:-0}" "$q" robust "$net" --input "$t/images.idx" --labels "$t/labels.idx" --index "0:$((n - 1))" --eps "$eps" --timeout 10 --threads 1 --json "$t/one.json" "$@" >"$t/one.txt" || true; } 2>"$t/time"
  tail -n 1 "$t/time" >"$t/one.time"
}
batches() {
  rm -rf "$t/results"
  { time taskset -c "${CORE:-0}" "$q" ci --manifest "$t/qverify.json" --results "$t/results" --jobs 1 --json "$t/ci.json" "$@" >"$t/ci.txt" || true; } 2>"$t/time"
  tail -n 1 "$t/time" >"$t/ci.time"
}
say() { echo "$1: $(cat "$2")  (x $(awk -v a="$(cpu "$2")" -v b="$(cpu "$t/base.time")" 'BEGIN{printf "%.2f", a/b}') CPU, x $(awk -v a="$(wall "$2")" -v b="$(wall "$t/base.time")" 'BEGIN{printf "%.2f", a/b}') wall)"; }
echo "$n queries of distance $eps, net P1-6, one core, every proof checked by qverify-check"
one --certificate "$t/cert" --witness "$t/cex"
cp "$t/one.time" "$t/base.time"
say "qverify robust, keeping its evidence           " "$t/base.time"
grep -E '^[0-9]+ verified' "$t/one.txt"
batches
say "qverify ci, 100 queries a process (default)    " "$t/ci.time"
sed -n 's/^ *why: //p; /obligations hold/p' "$t/ci.txt"
if [ -n "${ALONE:-}" ]; then
  batches --batch 1
  say "qverify ci, a process for each query           " "$t/ci.time"
fi
one
say "qverify robust, throwing its evidence away     " "$t/one.time"
