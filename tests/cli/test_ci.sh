# qverify ci, plan, work, merge.
. "$(dirname "$0")/lib.sh"
S=$ROOT/examples/shapes
t 'an example that holds' 0 ci --manifest examples/ci/pass/qverify.json --results "$T/pass" --json "$T/pass.json" --junit "$T/pass.xml" --sarif "$T/pass.sarif" --intoto "$T/pass.intoto" --html "$T/pass.html"
has out 'its verdict' '^VERIFIED: 4 of 4 obligations hold'
t 'an example that does not' 10 ci --manifest examples/ci/fail/qverify.json --results "$T/fail" --json "$T/fail.json" --junit "$T/fail.xml" --sarif "$T/fail.sarif" --intoto "$T/fail.intoto"
has out 'why' '^  why: an input was executed on which channel [0-9]+ sums to [0-9]+ and the 16-bit accumulator wraps to '
check 'report: state' grep -q '"run_state": "COMPLETE"' "$T/fail.json"
check 'report: verdict' grep -q '"verdict": "FALSIFIED"' "$T/fail.json"
check 'JUnit: one failure' grep -q 'tests="2" failures="1" errors="0" skipped="0"' "$T/fail.xml"
check 'SARIF: pass and fail' sh -c "grep -q '\"kind\": \"pass\"' '$T/fail.sarif' && grep -q '\"kind\": \"fail\"' '$T/fail.sarif'"
check 'in-toto: passed' grep -q '"result": "PASSED"' "$T/pass.intoto"
check 'in-toto: failed' grep -q '"result": "FAILED"' "$T/fail.intoto"
check 'page: no resource from elsewhere' sh -c "! grep -oE '(src|href)=\"[^\"]*' '$T/pass.html' | grep -v '\"data:\|\"#'"
for f in pass fail; do check "$f: the report follows its schema" "$TOOLS/schema_check" docs/ci.schema.json "$T/$f.json"; done
for f in pass fail; do check "$f: the manifest follows its schema" "$TOOLS/schema_check" docs/ci-manifest.schema.json "examples/ci/$f/qverify.json"; done
t 'nothing is done twice' 0 ci --manifest examples/ci/pass/qverify.json --results "$T/pass" --json "$T/again.json"
check 'the same content' test "$(json "$T/pass.json" content_sha256)" = "$(json "$T/again.json" content_sha256)"

# selection
t 'one tag' 0 ci --manifest examples/ci/pass/qverify.json --results "$T/pass" --tag fast --junit "$T/tag.xml"
has out 'one tag: three' '^VERIFIED: 3 of 3 '
check 'one tag: the other is skipped' grep -q 'skipped="1"' "$T/tag.xml"
t 'one name' 0 ci --manifest examples/ci/pass/qverify.json --results "$T/pass" --only 'acc*'
t 'nothing matches' 5 ci --manifest examples/ci/pass/qverify.json --results "$T/pass" --tag nobody --json "$T/none.json"
has out 'nothing matches: said' '^NOTHING_SELECTED'
check 'nothing matches: state' grep -q '"run_state": "NOTHING_SELECTED"' "$T/none.json"

# manifests with one mistake each
bad() { # name, pattern, manifest
  printf '%s' "$3" >"$T/bad.json"
  t "$1" 2 ci --manifest "$T/bad.json" --results "$T/x" && has err "$1: said" "$2"
}
O='{"id":"a","check":"overflow","model":"m"}'
M='"models":{"m":{"path":"x.tflite"}}'
bad 'no format' '"format" is not' "{$M,\"obligations\":[$O]}"
bad 'unknown member' 'unknown member "colour"' "{\"format\":\"qverify-ci/1\",\"colour\":1,$M,\"obligations\":[$O]}"
bad 'unknown member of an obligation' 'a: unknown member "modle"' "{\"format\":\"qverify-ci/1\",$M,\"obligations\":[{\"id\":\"a\",\"check\":\"overflow\",\"modle\":\"m\"}]}"
bad 'two of one name' 'two obligations are called "a"' "{\"format\":\"qverify-ci/1\",$M,\"obligations\":[$O,$O]}"
bad 'no such model' 'there is no model "n"' "{\"format\":\"qverify-ci/1\",$M,\"obligations\":[{\"id\":\"a\",\"check\":\"overflow\",\"model\":\"n\"}]}"
bad 'no such check' '"check" is missing or unknown' "{\"format\":\"qverify-ci/1\",$M,\"obligations\":[{\"id\":\"a\",\"check\":\"magic\",\"model\":\"m\"}]}"
bad 'a share above 1' '"at_least" is not a share' "{\"format\":\"qverify-ci/1\",$M,\"obligations\":[{\"id\":\"a\",\"check\":\"accuracy\",\"model\":\"m\",\"input\":\"i\",\"labels\":\"l\",\"at_least\":\"120%\"}]}"
bad 'duplicate key' 'uplicate' "{\"format\":\"qverify-ci/1\",\"format\":\"qverify-ci/1\",$M,\"obligations\":[$O]}"
bad 'not JSON' '' 'models:'
t 'no manifest' 2 ci --manifest "$T/nobody.json" --results "$T/x"

# a model that is not there is an error of its obligation, not of the others
cat >"$T/mixed.json" <<EOF
{"format":"qverify-ci/1","models":{"gone":{"path":"gone.tflite"},"good":{"path":"$S/shapes.tflite"}},
 "obligations":[{"id":"gone","check":"overflow","model":"gone"},{"id":"good","check":"overflow","model":"good"},
 {"id":"acc","check":"accuracy","model":"good","input":"$S/test_images.npy","labels":"$S/test_labels.txt","at_least":1}]}
EOF
"$QVERIFY" ci --manifest "$T/mixed.json" --results "$T/mixed" --junit "$T/mixed.xml" >"$T/out" 2>"$T/err"
if [ $? = 6 ]; then ok 'a missing model'; else not_ok 'a missing model: another exit code'; fi
has err 'a missing model: message' '^qverify: 1 of 3 obligations failed to run'
has out 'a missing model: the others hold' '^UNKNOWN: 2 of 3 obligations hold \(0 refuted, 0 open, 1 failed, 0 missing\)$'
check 'a missing model: an error, not a failure' grep -q 'failures="0" errors="1"' "$T/mixed.xml"

# the time limit: an answer that would take long
cat >"$T/slow.json" <<EOF
{"format":"qverify-ci/1","models":{"m":{"path":"$S/shapes.tflite"}},"obligations":[
 {"id":"slow","check":"robust","model":"m","input":"$S/test_images.npy","labels":"$S/test_labels.txt","index":"0:0","eps":3,"engine":"bnb","timeout":1000,"seconds":1}]}
EOF
start=$(date +%s)
t 'a job over its time' 5 ci --manifest "$T/slow.json" --results "$T/slow" --jobs 1
has out 'a job over its time: said' 'why: .*; first open: ended at its time limit$'
has out 'a job over its time: what to do' 'next: raise "seconds"'
took=$(($(date +%s) - start))
if ((took < 60)); then ok 'a job over its time ends'; else not_ok "a job of one second took $took s"; fi

# an allocation as an obligation; without its report it is no pass
cat >"$T/alloc.json" <<EOF
{"format":"qverify-ci/1","obligations":[{"id":"alloc","check":"allocation","table":"$ROOT/examples/allocation/two-layers.json","limits":{"size":"75%"}}]}
EOF
t 'an allocation' 0 ci --manifest "$T/alloc.json" --results "$T/alloc"
t 'an allocation: plan' 0 plan "$T/alloc.json" -o "$T/alloc.jsonl"
t 'an allocation: bundle' 0 bundle "$T/alloc.jsonl" --results "$T/alloc" -o "$T/alloc.bundle"
check 'an allocation: its bundle checks itself' sh -c "CHECKER='${QVERIFY%/*}/qverify-check' sh '$T/alloc.bundle/CHECK' >'$T/out'"
has out 'an allocation: the verdict of its certificate' '^optimum [0-9/]+: evidence/[0-9a-f]+\.qap evidence/[0-9a-f]+\.qva$'
has out 'an allocation: the verdict of its front' '^front .*: evidence/'
hasnt out 'an allocation: no empty verdict' '^: '
sed -i 's/"run_state": "COMPLETE"/"run_state": "INCOMPLETE"/' "$T/alloc"/*.json
"$QVERIFY" ci --manifest "$T/alloc.json" --results "$T/alloc" >"$T/out" 2>/dev/null
if [ $? = 6 ]; then ok 'an allocation without a complete report'; else not_ok 'an allocation without a complete report passes'; fi

# another build does not inherit results
mkdir "$T/other"
cp "$QVERIFY" "${QVERIFY%/*}/qverify-check" "$T/other/"
t 'this build: plan' 0 plan "$T/alloc.json" -o "$T/this.jsonl"
printf x >>"$T/other/qverify-check"
"$T/other/qverify" plan "$T/alloc.json" -o "$T/other.jsonl" >/dev/null
check 'another checker: another key' sh -c "! cmp -s '$T/this.jsonl' '$T/other.jsonl'"

# shards: the same report whatever their number; a missing one, a contradiction
cat >"$T/many.json" <<EOF
{"format":"qverify-ci/1","models":{"m":{"path":"$S/shapes.tflite"},"w":{"path":"$S/wide.tflite"}},"obligations":[
EOF
for b in $(seq 12 31); do echo "{\"id\":\"w$b\",\"check\":\"overflow\",\"model\":\"w\",\"acc_bits\":$b},"; done >>"$T/many.json"
echo '{"id":"m","check":"overflow","model":"m"}]}' >>"$T/many.json"
t 'plan' 0 plan "$T/many.json" -o "$T/plan.jsonl"
t 'plan again' 0 plan "$T/many.json" -o "$T/plan2.jsonl"
check 'a plan does not change' cmp "$T/plan.jsonl" "$T/plan2.jsonl"
for n in 1 2 7; do
  for k in $(seq $n); do t "work $k/$n" 0 work "$T/plan.jsonl" --shard $k/$n --results "$T/s$n"; done
  t "merge of $n" 10 merge "$T/plan.jsonl" --results "$T/s$n" --json "$T/m$n.json"
done
check 'one and two shards: the same' test "$(json "$T/m1.json" content_sha256)" = "$(json "$T/m2.json" content_sha256)"
check 'one and seven shards: the same' test "$(json "$T/m1.json" content_sha256)" = "$(json "$T/m7.json" content_sha256)"
cp -r "$T/s7" "$T/hole"
one=$(ls "$T/hole"/*.json | head -n 1)
mv "$one" "$T/kept.json"
t 'work on two folders' 10 merge "$T/plan.jsonl" --results "$T/hole" --results "$T/s1"
sed 's/"exit": [0-9]*/"exit": 3/' "$T/kept.json" >"$one"
t 'a contradiction' 6 merge "$T/plan.jsonl" --results "$T/hole" --results "$T/s1"
has err 'a contradiction: said' 'two results of a job contradict each other'
rm "$one"
cat >"$T/few.json" <<EOF
{"format":"qverify-ci/1","models":{"m":{"path":"$S/shapes.tflite"}},"obligations":[{"id":"a","check":"overflow","model":"m"},{"id":"b","check":"audit","model":"m"}]}
EOF
t 'few: plan' 0 plan "$T/few.json" -o "$T/few.jsonl"
t 'few: nothing done' 5 merge "$T/few.jsonl" --results "$T/nowhere" --json "$T/few.out"
check 'few: incomplete' grep -q '"run_state": "INCOMPLETE"' "$T/few.out"
head -c 300 "$T/few.jsonl" >"$T/cut.jsonl"
t 'a plan cut off' 2 work "$T/cut.jsonl" --results "$T/x"
t 'a shard that does not exist' 1 work "$T/few.jsonl" --shard 3/2

# evidence that stands on its own
t 'bundle: plan' 0 plan examples/ci/fail/qverify.json -o "$T/b.jsonl"
t 'bundle: work' 0 work "$T/b.jsonl" --results "$T/b"
t 'bundle' 10 bundle "$T/b.jsonl" --results "$T/b" -o "$T/bundle"
t 'bundle again' 10 bundle "$T/b.jsonl" --results "$T/b" -o "$T/bundle2"
check 'bundle: the same bytes' diff -r "$T/bundle" "$T/bundle2"
check 'bundle: checks itself' sh -c "CHECKER='${QVERIFY%/*}/qverify-check' sh '$T/bundle/CHECK' >'$T/out'"
has out 'bundle: how many' '^2 accepted, 0 rejected$'
q=$(ls "$T/bundle/evidence"/*.qvc | head -n 1)
sed -i 's/harmless/harmlesz/' "$q"
check 'bundle: a changed certificate is noticed' sh -c "! CHECKER='${QVERIFY%/*}/qverify-check' sh '$T/bundle/CHECK' >/dev/null 2>&1"
t 'bundle: not over an old one' 1 bundle "$T/b.jsonl" --results "$T/b" -o "$T/bundle2"
for c in 0 1 2 3 5 6 10 VERIFIED INCOMPLETE; do t "explain $c" 0 explain $c; done
t 'explain nothing' 1 explain 11
t 'selftest' 0 selftest
has out 'selftest: all' '^([0-9]+) of \1 as expected$'
t 'completion' 0 completion bash
cp "$T/out" "$T/complete"
check 'completion: bash reads it' bash -c "source '$T/complete'; COMP_WORDS=(qverify overflow --acc) COMP_CWORD=2; _qverify; [ \"\${COMPREPLY[*]}\" = --acc-bits ]"
t 'completion for fish' 0 completion fish
t 'completion for nobody' 1 completion tcsh

# killed at any moment, started again: the same report, nothing done twice
t 'undisturbed' 10 ci --manifest "$T/many.json" --results "$T/calm" --json "$T/calm.json"
for k in 1 2 3 4 5 6 7 8; do
  "$QVERIFY" ci --manifest "$T/many.json" --results "$T/killed" --json "$T/killed.json" >/dev/null 2>&1 &
  pid=$!
  sleep "0.0$((k * 7 % 10))"
  kill -9 $pid 2>/dev/null
  wait $pid 2>/dev/null
done
ls "$T/killed" 2>/dev/null | grep '\.json$' | while read -r f; do stat -c '%Y %i %n' "$T/killed/$f"; done >"$T/before"
t 'after the kills' 10 ci --manifest "$T/many.json" --results "$T/killed" --json "$T/killed.json"
check 'after the kills: the same' test "$(json "$T/calm.json" content_sha256)" = "$(json "$T/killed.json" content_sha256)"
while read -r line; do
  if [ "$(stat -c '%Y %i %n' "${line##* }")" != "$line" ]; then not_ok "done twice: $line"; fi
done <"$T/before"
ok "finished jobs were left alone ($(wc -l <"$T/before") of 21 at the last kill)"
"$QVERIFY" ci --manifest "$T/slow.json" --results "$T/dead" --json "$T/dead.json" >/dev/null 2>&1 &
pid=$!
for i in $(seq 100); do [ -s "$T/dead.json" ] && break; sleep 0.1; done
kill -9 $pid 2>/dev/null
wait $pid 2>/dev/null
check 'a killed run leaves INCOMPLETE' grep -q '"run_state": "INCOMPLETE"' "$T/dead.json"
pkill -9 -f "$T/dead" 2>/dev/null
finish
