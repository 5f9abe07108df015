#!/bin/sh
# run_instance.sh v1 CATEGORY ONNX VNNLIB RESULTS TIMEOUT: the verdict is the first line of RESULTS, after sat the witness follows.
set -u
[ $# -eq 6 ] && [ "$1" = v1 ] || { echo "run_instance.sh: expected v1 CATEGORY ONNX VNNLIB RESULTS TIMEOUT" >&2; exit 1; }
here=$(cd "$(dirname "$0")" && pwd)
QVERIFY=${QVERIFY:-$here/../../qverify}
onnx=$3 query=$4 results=$5 timeout=$6
profile=${QVERIFY_PROFILE-}
case $onnx in *.onnx) profile=${profile:-onnx-ref} ;; esac
name=$(sed -n 's/^[^;]*(declare-network  *\([A-Za-z][A-Za-z0-9_]*\).*/\1/p' "$query" | head -n 1)
tmp=$(mktemp)
trap 'rm -f "$tmp"' EXIT
"$QVERIFY" verify "$query" --network "${name:-f}=$onnx" ${profile:+--profile "$profile"} --timeout "$timeout" >"$tmp"
case $(head -n 1 "$tmp") in
sat | unsat) cp "$tmp" "$results" ;;
timed-out) echo timeout >"$results" ;;
*) echo unknown >"$results" ;; # also a network that is not quantized
esac
