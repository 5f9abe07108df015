# qverify ci, killed: at any moment, the worker or what it started; the same report as an undisturbed run, nothing finished done again.
. "$(dirname "$0")/lib.sh"
KILLS=$((10 * ${QV_TEST_MULT:-1}))
((KILLS > 50)) && KILLS=50
((KILLS < 3)) && KILLS=3
N=$((30 * KILLS))
SEED=${QV_TEST_SEED:-20251}
RANDOM=$SEED
echo "# $KILLS kills, $N queries, seed $SEED"
fc_model >"$T/fc.qir"
all_pairs >"$T/all.bin"
cat >"$T/m.json" <<EOM
{"format":"qverify-ci/1","models":{"m":{"path":"fc.qir"}},"obligations":[
 {"id":"near","check":"robust","model":"m","input":"all.bin","index":"0:$((N / 2 - 1))","eps":3,"steps":100000,"at_least":0},
 {"id":"far","check":"robust","model":"m","input":"all.bin","index":"40000:$((40000 + N / 2 - 1))","eps":9,"steps":100000,"at_least":0},
 {"id":"sums","check":"overflow","model":"m"}]}
EOM
# the same jobs in every folder: their keys name the manifest's files only
started=$(date +%s%3N)
t 'undisturbed' 0 ci --manifest "$T/m.json" --batch 15 --results "$T/calm" --json "$T/calm.json"

# on average the kills together leave the time of one run and a start each
DELAY=$((150 + 2 * ($(date +%s%3N) - started) / KILLS))
((DELAY > 999)) && DELAY=999

# "JOB QUERY" for every finished query of unfinished jobs
finished() { for f in "$1"/*.journal; do [ -e "$f" ] && awk -F'\t' -v j="$(basename "$f" .journal)" 'NR > 1 && NF > 3 { print j, $1 }' "$f"; done | sort; }
results() { find "$1" -maxdepth 1 -name '*.json' -printf '%f %i %T@\n' 2>/dev/null | sort; }
lost=0 seen=0 again=0
: >"$T/done"
: >"$T/files"
for k in $(seq "$KILLS"); do
  "$QVERIFY" ci --manifest "$T/m.json" --batch 15 --results "$T/killed" --jobs 2 --json "$T/a.json" >/dev/null 2>&1 &
  one=$!
  "$QVERIFY" ci --manifest "$T/m.json" --batch 15 --results "$T/killed" --jobs 1 >/dev/null 2>&1 &
  two=$!
  sleep "0.$(printf '%03d' $((RANDOM % DELAY)))"
  kill -9 $one $two 2>/dev/null
  wait $one $two 2>/dev/null
  sleep 0.02 # what they started dies with them
  finished "$T/killed" >"$T/now"
  # what was finished is still known, or its job has a result by now
  while read -r job query; do
    seen=$((seen + 1))
    [ -e "$T/killed/$job.json" ] || grep -q "^$job $query$" "$T/now" || lost=$((lost + 1))
  done <"$T/done"
  results "$T/killed" >"$T/results"
  again=$((again + $(comm -23 "$T/files" "$T/results" | wc -l)))
  cp "$T/now" "$T/done"
  cp "$T/results" "$T/files"
done
jobs_done=$(wc -l <"$T/results")
t 'started once more' 0 ci --manifest "$T/m.json" --batch 15 --results "$T/killed" --json "$T/killed.json"
results "$T/killed" >"$T/results"
again=$((again + $(comm -23 "$T/files" "$T/results" | wc -l)))
check 'the same report' test "$(json "$T/calm.json" content_sha256)" = "$(json "$T/killed.json" content_sha256)"
if ((lost == 0 && seen > 0)); then ok "no finished query was lost ($seen looked at; $jobs_done jobs done at the last kill)"; else not_ok "$lost of $seen finished queries were lost"; fi
if ((again == 0)); then ok 'no finished job ran again'; else not_ok "$again finished jobs ran again"; fi
# each job says how many of its queries an earlier process had searched: all that were finished at the last kill
bad=0
while read -r n job; do
  got=$(grep -o '[0-9]* searched by an earlier run' "$T/killed/$job.json" | cut -d' ' -f1)
  [ "${got:-0}" = "$n" ] || bad=$((bad + 1))
done < <(cut -d' ' -f1 "$T/done" | uniq -c)
if ((bad == 0)); then ok 'no finished query was searched again'; else not_ok "$bad jobs searched finished queries again"; fi
check 'nothing is left but results and evidence' sh -c "! ls '$T/killed' | grep -E 'journal|lock|out$|err$|report$'"

# the processes die instead: the batch is taken up query by query
"$QVERIFY" ci --manifest "$T/m.json" --batch 15 --results "$T/broken" --jobs 1 --json "$T/broken.json" >"$T/out" 2>"$T/err" &
worker=$!
for k in 1 2 3; do
  sleep 0.1
  child=$(pgrep -P $worker | head -n 1)
  [ -n "$child" ] && kill -9 "$child" 2>/dev/null
done
wait $worker
rc=$?
if ((rc == 0)); then ok 'queries whose process was killed are open, not the run'; else not_ok "exit code $rc after its processes were killed"; fi
verified() { awk -v id="\"id\": \"$2\"" '/"verified":/ { v = $2 } index($0, id) { print v; exit }' "$1" | tr -dc '0-9'; }
for id in near far; do
  a=$(verified "$T/calm.json" $id) b=$(verified "$T/broken.json" $id)
  if [ -n "$a" ] && ((b <= a && b + 3 >= a)); then ok "$id: at most the killed queries are missing ($b of $a)"; else not_ok "$id: $b verified, undisturbed $a"; fi
done
finish
