# qverify ci: robustness, certified radii and accumulators against an older network. The networks' answers are known by hand.
. "$(dirname "$0")/lib.sh"

# One input x in [0,255], outputs (x, B); the first of equal outputs wins. Class 0 where x >= B, else class 1: so the radius of a sample
# s >= B (class 0) is s - B, that of s < B (class 1) is B - 1 - s, and each is refuted one step further on.
threshold_net() { # B
  qir_head
  cat <<END
tensors 2
tensor 0 name "x" type u8 dims 2 1 1 scale none const no
tensor 1 name "y" type i32 dims 2 1 2 scale none const no
inputs 1
input 0 tensor 0 lo 0 hi 255 end int name "x"
nodes 1
node 0 affine op "FULLY_CONNECTED" layer 0 in 1 0 out 1
window n 1 ih 1 iw 1 ic 1 oh 1 ow 1 oc 2 kh 1 kw 1 sh 1 sw 1 dh 1 dw 1 pt 0 pl 0 groups 1
acc wrap bits 32 order kernel bias last form corrected
x_zp 0
w_zp 1 0
b 0 $1
w
1
0
outputs 1
output 0 tensor 1 end int name "y" tail none
end
END
}
for b in 8 10 12 16; do threshold_net $b >"$T/b$b.qir"; done
# Samples 15 (class 0) and 4 (class 1). Radii: B = 8: 7 and 3; B = 10: 5 and 5; B = 12: 3 and 7.
{
  printf '\223NUMPY\001\000\166\000'
  printf '%-117s\n' "{'descr': '|u1', 'fortran_order': False, 'shape': (2, 1), }"
  printf '\017\004'
} >"$T/x.npy"
printf '0\n1\n' >"$T/labels.txt"

obligation() { # new B, old B, members
  printf '{"format":"qverify-ci/1","models":{"m":{"path":"b%s.qir"}},"obligations":[{"id":"o","model":"m","input":"x.npy","index":"0:1","baseline":"b%s.qir",%s}]}' "$1" "$2" "$3" >"$T/m.json"
}
ci() { # name, exit code, further options
  local name=$1 code=$2
  shift 2
  t "$name" "$code" ci --manifest "$T/m.json" --results "$T/r" --json "$T/report.json" --html "$T/page.html" "$@"
  check "$name: the manifest follows its schema" "$TOOLS/schema_check" docs/ci-manifest.schema.json "$T/m.json"
  check "$name: the report follows its schema" "$TOOLS/schema_check" docs/ci.schema.json "$T/report.json"
}
L='"labels":"labels.txt"'
R="\"check\":\"radius\",$L,\"radius\":1,\"max_eps\":20"

obligation 10 10 "$R"
ci 'the same network' 0
has out 'the same network: verdict' '^VERIFIED: 1 of 1'
check 'the same network: asked once' test "$(ls "$T/r"/*.json | wc -l)" = 1
check 'the same network: nothing lost' grep -q '; nothing lost against the baseline (2 compared)' "$T/report.json"
obligation 12 10 "$R"
ci 'one radius shrank' 10
has out 'one radius shrank: which' 'why: 2 of 2 verified, .*; against the baseline: 1 of 2 lost, 0 open, first: sample 0: certified up to 3, up to 5 on the baseline; refuted at 4$'
check 'one radius shrank: on the page' grep -q 'class="loss">&#10007; sample 0: certified up to 3, up to 5 on the baseline; refuted at 4<' "$T/page.html"
check 'one radius shrank: in the report' sh -c "tr -d ' \n\t' <'$T/report.json' | grep -q '\"baseline\":{\"compared\":\"2\",\"losses\":.{\"id\":\"radius/0\",.*\"verdict\":\"FALSIFIED\"}.,\"lost\":\"1\",\"open\":\"0\"}'"
check 'the page shows the radii of the model, not of the baseline' test "$(grep -oE '<title>[0-9]+ of exactly this radius' "$T/page.html" | tr -dc '0-9\n' | awk '{ n += $1 } END { print n }')" = 2
check 'a row for every question of the model' test "$(grep -c '<tr data-v="[A-Z]*"><td>' "$T/page.html")" = 2
obligation 8 10 "$R"
ci 'the other radius shrank' 10
has out 'the other radius shrank: which' 'first: sample 1: certified up to 3, up to 5 on the baseline; refuted at 4$'
obligation 12 10 "$R" && sed -i 's/"index":"0:1"/"index":"1"/' "$T/m.json"
ci 'a radius that grew' 0
has out 'a radius that grew: verdict' '^VERIFIED: 1 of 1'
obligation 12 10 "$R" && sed -i 's/"radius":1/"radius":9/' "$T/m.json"
ci 'refuted anyway' 10
has out 'refuted anyway: both are said' 'why: 0 of 2 verified, 2 falsified.*against the baseline: 1 of 2 lost'
obligation 12 10 "$R" && sed -i 's/"index":"0:1"/"index":"0,1"/' "$T/m.json"
ci 'one process a sample' 10
has out 'one process a sample: all are compared' '1 of 2 lost'

# Fixed distances. At 4 the old network keeps both classes; B = 12 loses sample 0. What the old one never had (distance 6) cannot be lost.
E="\"check\":\"robust\",$L,\"at_least\":0"
obligation 12 10 "$E,\"eps\":3"
ci 'eps 3: both keep their class' 0
obligation 12 10 "$E,\"eps\":4"
ci 'eps 4: one is lost' 10
has out 'eps 4: which' '1 of 2 lost, 0 open, first: sample 0: FALSIFIED, VERIFIED on the baseline$'
ci 'eps 4: --split is for queries without a baseline' 10 --split 2
obligation 12 10 "$E,\"eps\":6"
ci 'eps 6: the baseline had neither' 0
# Without labels each network is asked about its own class; another class than the certified one is a loss, however robust.
obligation 16 10 "\"check\":\"robust\",\"at_least\":0,\"eps\":0"
ci 'another class' 10
has out 'another class: said' 'sample 0: class 1, certified as class 0 on the baseline$'

# Open is no loss, and no proof: the new network's result, as if its search had ended early.
obligation 12 10 "$R"
t 'open: plan' 0 plan "$T/m.json" -o "$T/p.jsonl"
key=$(grep '"part":"0:1"' "$T/p.jsonl" | sed 's/.*"key":"\([0-9a-f]*\)".*/\1/')
old=$(grep '"part":"old 0:1"' "$T/p.jsonl" | sed 's/.*"key":"\([0-9a-f]*\)".*/\1/')
cp -r "$T/r" "$T/open"
sed -i 's/"proved": *"3"/"proved": "4"/; s/"refuted": *"4"/"refuted": "6"/' "$T/open/$key.json"
t 'open' 5 merge "$T/p.jsonl" --results "$T/open"
has out 'open: said' '0 of 2 lost, 1 open, first: sample 0: certified up to 4, up to 5 on the baseline; refuted at 6$'
rm "$T/open/$old.json"
t 'no result of the baseline' 5 merge "$T/p.jsonl" --results "$T/open"
has out 'no result of the baseline: said' 'why: no result for part "old 0:1"'
cp "$T/r/$old.json" "$T/open/"
sed -i 's/"run_state": *"COMPLETE"/"run_state": "INCOMPLETE"/' "$T/open/$old.json"
t 'an unfinished baseline' 5 merge "$T/p.jsonl" --results "$T/open"
has out 'an unfinished baseline: said' 'no answers of the baseline to compare with'
sed 's/"id": *"radius[^"]*"/"id": null/' "$T/r/$old.json" >"$T/open/$old.json"
cp "$T/r/$key.json" "$T/open/"
obligation 10 12 "$R"
"$QVERIFY" plan "$T/m.json" -o "$T/p3.jsonl" >/dev/null # the other way round: the report without names is now the model's
for k in p:6 p3:5; do
  "$QVERIFY" merge "$T/${k%:*}.jsonl" --results "$T/open" >"$T/out" 2>/dev/null
  rc=$?
  if [ $rc = ${k#*:} ]; then ok "answers without names do not pass: ${k%:*}"; else not_ok "answers without names: ${k%:*}: exit $rc"; fi
done
grep -v '"part":"old 0:1"' "$T/p.jsonl" | sed 's/"part":"0:1"/"part":"old 0:1"/' >"$T/p2.jsonl"
"$QVERIFY" merge "$T/p2.jsonl" --results "$T/r" >"$T/out" 2>/dev/null
if [ $? = 6 ]; then ok 'a plan without the other half'; else not_ok 'a plan without the other half'; fi

# Accumulators. |x| <= 255 needs 9 bits signed, 3 x needs 11 (765 <= 1023), of 32: 23 bits of headroom against 21.
sed '/^w$/{n;s/1/3/}' "$T/b10.qir" >"$T/b3.qir"
acc() { printf '{"format":"qverify-ci/1","models":{"m":{"path":"%s"}},"obligations":[{"id":"o","check":"%s","model":"m","baseline":"%s"}]}' "$2" "$1" "$3" >"$T/m.json"; }
for kind in overflow audit; do
  acc $kind b3.qir b10.qir
  ci "$kind: headroom lost" 10
  has out "$kind: headroom lost: said" 'why: .* proved; against the baseline: accumulator 0 \(FULLY_CONNECTED\): 21 bits of headroom left, were 23$'
  acc $kind b10.qir b3.qir
  ci "$kind: headroom gained" 0
done
acc overflow b10.qir b99.qir
"$QVERIFY" ci --manifest "$T/m.json" --results "$T/r" >"$T/out" 2>/dev/null
if [ $? = 6 ]; then ok 'overflow: a baseline that is not there is an error'; else not_ok 'overflow: a baseline that is not there'; fi
acc overflow b10.qir "$ROOT/examples/shapes/shapes.tflite"
ci 'overflow: a baseline of another form' 5
has out 'overflow: a baseline of another form: said' 'different numbers of accumulators'

# manifests with one mistake
bad() { # name, pattern, members
  obligation 12 10 "$3"
  t "$1" 2 ci --manifest "$T/m.json" --results "$T/r" && has err "$1: said" "$2"
}
bad 'not for accuracy' 'unknown member "' "\"check\":\"accuracy\",$L,\"at_least\":0"
bad 'not with parts' '"baseline" compares whole queries' "\"check\":\"robust\",$L,\"eps\":1,\"split\":2"
obligation 12 10 "$R,\"baseline_profile\":\"tflite-double\"" && sed -i 's/"baseline":"b10.qir",//' "$T/m.json"
t 'a profile of nothing' 2 ci --manifest "$T/m.json" --results "$T/r"
has err 'a profile of nothing: said' '"baseline_profile" without "baseline"'
obligation 12 99 "$R"
"$QVERIFY" ci --manifest "$T/m.json" --results "$T/r" >"$T/out" 2>/dev/null
if [ $? = 6 ]; then ok 'a baseline that is not there is an error'; else not_ok 'a baseline that is not there'; fi
has out 'a baseline that is not there: said' 'why: the baseline: exit code 2'

# A real network against itself with other biases in its last layer: class k can only lose where its bias fell by far more than any sum.
S=$ROOT/examples/shapes
t 'shapes: lower' 0 lower "$S/shapes.tflite" -o "$T/shapes.qir"
label=$(head -n 1 "$S/test_labels.txt")
awk -v k="$((label + 2))" '/^node [0-9]+ affine/ { n++ } { line[NR] = $0 } /^b / { last = NR } END { for (i = 1; i <= NR; i++) { if (i == last) { $0 = line[i]; $k = $k - 1000000; line[i] = $0 } print line[i] } }' \
  "$T/shapes.qir" >"$T/biased.qir"
shapes() { # new, old
  printf '{"format":"qverify-ci/1","models":{"m":{"path":"%s"}},"obligations":[{"id":"o","check":"robust","model":"m","input":"%s","labels":"%s","index":"0","eps":0,"at_least":0,"baseline":"%s"}]}' \
    "$1" "$S/test_images.npy" "$S/test_labels.txt" "$2" >"$T/m.json"
}
shapes biased.qir shapes.qir
ci 'shapes: a class was lost' 10
has out 'shapes: a class was lost: said' '1 of 1 lost'
shapes shapes.qir biased.qir
ci 'shapes: the other way round' 0
finish
