#!/usr/bin/env bash
# Decide a manifest with GNU parallel, on this host or on several: plan, N shards, merge.
#   run.sh [-n N] [-d DIR] MANIFEST [PLAN OPTION...] [-- PARALLEL OPTION...]
#     -n N     shards (20)
#     -d DIR   plan, results, job log and reports, on a file system that every host sees (qverify-parallel)
# Exit code: that of `qverify merge`: 0, 10, 5 or 6. QVERIFY names the program (qverify, from PATH); hosts run the same path.
# Hosts: -- --sshlogin 4/node1,4/node2 (4 shards at a time on each; login without a password).
# Run it again with the same DIR after anything went wrong: finished shards are not started, finished jobs not done again.
set -euo pipefail
usage() {
  sed -n '3,5s/^# *//p' "$0" >&2
  exit 1
}
n=20 dir=qverify-parallel
while getopts n:d: o; do
  case $o in
  n) n=$OPTARG ;;
  d) dir=$OPTARG ;;
  *) usage ;;
  esac
done
shift $((OPTIND - 1))
[ $# -ge 1 ] && [[ $n =~ ^[1-9][0-9]*$ ]] || usage
manifest=$1
shift
plan_options=()
while [ $# -gt 0 ] && [ "$1" != -- ]; do
  plan_options+=("$1")
  shift
done
[ $# -eq 0 ] || shift
command -v parallel >/dev/null || { echo "run: GNU parallel is not there (Debian: parallel)" >&2; exit 1; }
QVERIFY=$(command -v "${QVERIFY:-qverify}") || { echo "run: ${QVERIFY:-qverify} is not there" >&2; exit 1; }
QVERIFY=$(realpath "$QVERIFY")

mkdir -p "$dir"
dir=$(realpath "$dir")
"$QVERIFY" plan "$manifest" "${plan_options[@]}" -o "$dir/plan.new"
if [ -e "$dir/plan.jsonl" ] && ! cmp -s "$dir/plan.jsonl" "$dir/plan.new"; then
  rm "$dir/plan.new"
  echo "run: $dir/plan.jsonl is of another manifest, model or program: choose another -d" >&2
  exit 1
fi
mv "$dir/plan.new" "$dir/plan.jsonl"

# The log knows shards by their number: one of another N, or one whose results are gone, must not be taken for done.
log=$dir/joblog.$n
[ -d "$dir/results" ] || rm -f "$log"
mkdir -p "$dir/results"
# One process a shard: parallel decides how many run at a time. --workdir .: paths in a plan are those of the manifest. What parallel says
# of shards that failed is the merge's business: their jobs are missing.
seq "$n" | parallel --will-cite --joblog "$log" --resume-failed --workdir . "$@" \
  "$(printf '%q ' "$QVERIFY" work "$dir/plan.jsonl" --jobs 1 --results "$dir/results") --shard {}/$n" >&2 || echo "run: some shards failed, see $log" >&2
exec "$QVERIFY" merge "$dir/plan.jsonl" --results "$dir/results" --json "$dir/report.json" --junit "$dir/report.xml" --sarif "$dir/report.sarif" \
  --intoto "$dir/report.intoto.json" --html "$dir/report.html"
