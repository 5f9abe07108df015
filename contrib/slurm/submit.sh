#!/usr/bin/env bash
# Decide a manifest on a Slurm cluster: plan here, an array of N tasks, and a merge that starts when the last task has ended.
#   submit.sh [-n N] [-d DIR] [-w] MANIFEST [PLAN OPTION...]
#     -n N     tasks of the array (20)
#     -d DIR   plan, results, logs and reports, on a file system that every node sees (qverify-slurm)
#     -w       wait, and exit with the code of `qverify merge`: 0, 10, 5 or 6
# PLAN OPTIONS go to `qverify plan` (--tag, --only, --batch). Partition, account, time and so on: sbatch's own environment variables
# (SBATCH_PARTITION, SBATCH_ACCOUNT, SBATCH_TIMELIMIT). QVERIFY names the program (qverify, from PATH); nodes run the same path.
# Run it again with the same DIR after anything went wrong: what is finished is kept.
set -euo pipefail
n=20 dir=qverify-slurm wait=
while getopts n:d:w o; do
  case $o in
  n) n=$OPTARG ;;
  d) dir=$OPTARG ;;
  w) wait=--wait ;;
  *) sed -n '3,6s/^# *//p' "$0" >&2; exit 1 ;;
  esac
done
shift $((OPTIND - 1))
[ $# -ge 1 ] && [[ $n =~ ^[1-9][0-9]*$ ]] || { sed -n '3,6s/^# *//p' "$0" >&2; exit 1; }
manifest=$1
shift
here=$(cd "$(dirname "$0")" && pwd)
QVERIFY=$(command -v "${QVERIFY:-qverify}") || { echo "submit: ${QVERIFY:-qverify} is not there" >&2; exit 1; }
QVERIFY=$(realpath "$QVERIFY")

mkdir -p "$dir/log"
dir=$(realpath "$dir")
"$QVERIFY" plan "$manifest" "$@" -o "$dir/plan.new"
# Tasks that still run read the plan: it is never changed under them.
if [ -e "$dir/plan.jsonl" ] && ! cmp -s "$dir/plan.jsonl" "$dir/plan.new"; then
  rm "$dir/plan.new"
  echo "submit: $dir/plan.jsonl is of another manifest, model or program: choose another -d" >&2
  exit 1
fi
mv "$dir/plan.new" "$dir/plan.jsonl"

# The number of shards is handed over: Slurm's own count is that of the tasks submitted, which is less when only a few run again.
export QVERIFY QVERIFY_DIR=$dir QVERIFY_SHARDS=$n
array=$(sbatch --parsable --export=ALL --array="1-$n" --output="$dir/log/%A_%a.log" "$here/work.sbatch")
array=${array%%;*}
echo "array $array: $n tasks, results in $dir/results"
# afterany: a task that failed leaves results out, which the merge then reports as INCOMPLETE.
rc=0
merge=$(sbatch $wait --parsable --export=ALL --dependency="afterany:$array" --output="$dir/log/merge-%j.log" "$here/merge.sbatch") || rc=$?
echo "merge ${merge%%;*}: reports in $dir"
if [ -n "$wait" ]; then
  tail -n 1 "$dir/log/merge-${merge%%;*}.log" || true
fi
exit "$rc"
