# Sourced by the tests of contrib/. One line "ok ...", "not ok ..." or "skip ..." a check, as in tests/cli.
set -uo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
QVERIFY=$(realpath "${QVERIFY:-$ROOT/build/release/qverify}")
export QVERIFY LC_ALL=C
T=$(mktemp -d)
bad=0
ok() { echo "ok $*"; }
not_ok() {
  echo "not ok $*"
  bad=1
}
skip() { echo "skip $*"; }
# expect NAME EXIT COMMAND...
expect() {
  local name=$1 want=$2 rc=0
  shift 2
  "$@" >"$T/log" 2>&1 </dev/null || rc=$?
  if ((rc == want)); then ok "$name"; else
    not_ok "$name: exit $rc, expected $want: $*"
    tail -n 15 "$T/log" | sed 's/^/  /'
  fi
}
# A ci report without its times, which are the only part that two runs may differ in. (Python: a reader that is not ours.)
content() { python3 -c 'import json, sys; o = json.load(open(sys.argv[1])); del o["timing"]; json.dump(o, sys.stdout, indent=1, sort_keys=True)' "$1"; }
# same NAME A B: two reports with the same content, and with some.
same() {
  content "$2" >"$T/a" && content "$3" >"$T/b" && [ "$(wc -l <"$T/a")" -gt 20 ] && cmp "$T/a" "$T/b" >"$T/log" 2>&1 && ok "$1" && return
  not_ok "$1"
}
# Two nets, accumulators of 12 to 31 bits each, some too narrow: 42 jobs, each well below a second.
manifest() {
  local s=$ROOT/examples/shapes b m
  echo '{"format": "qverify-ci/1", "name": "widths", "models": {'
  echo "  \"shapes\": {\"path\": \"$s/shapes.tflite\", \"profile\": \"tflite-double\"},"
  echo "  \"wide\": {\"path\": \"$s/wide.tflite\", \"profile\": \"tflite-double\"}}, \"obligations\": ["
  for m in shapes wide; do
    for b in $(seq 12 31); do echo "  {\"id\": \"$m-$b\", \"tags\": [\"$m\"], \"check\": \"overflow\", \"model\": \"$m\", \"acc_bits\": $b},"; done
    echo "  {\"id\": \"$m-audit\", \"tags\": [\"$m\", \"audit\"], \"check\": \"audit\", \"model\": \"$m\"}$([ $m = wide ] || echo ,)"
  done
  echo ']}'
}
