# qverify allocate, compare: tables whose answers are known by hand.
. "$(dirname "$0")/lib.sh"
valid_allocation() { check "$1: the report follows the schema" "$TOOLS/schema_check" docs/allocation.schema.json "$2"; }

# The table of docs/allocation.md section 1. Sizes: w8 w8 800, w8 w4 544, w4 w8 656, w4 w4 400. Losses 1/1000, 21/1000, 1/3, 53/150.
cat >"$T/two.json" <<'END'
{ "format": "qverify-table/1", "name": "two layers", "costs": ["size", "bops"],
  "groups": [
    { "name": "conv1", "candidates": [
      { "name": "w8", "precision": "8", "loss": "0.001", "cost": {"size": "288", "bops": "1e6"} },
      { "name": "w4", "precision": "4", "loss": "1/3", "cost": {"size": "144", "bops": "0.5e6"} } ] },
    { "name": "conv2", "candidates": [
      { "name": "w8", "precision": "8", "loss": "0", "cost": {"size": "512", "bops": "4e6"} },
      { "name": "w4", "precision": "4", "loss": "0.02", "cost": {"size": "256", "bops": "2e6"} } ] } ],
  "limits": {"size": "75%"} }
END

t 'optimum' 0 allocate "$T/two.json" --certificate "$T/a.qva" --json "$T/r.json"
has out 'optimum: choice' '^ +conv1 +w8 +0\.001 +288 +1000000$'
has out 'optimum: the other' '^ +conv2 +w4 +0\.02 +256 +2000000$'
has out 'optimum: costs' '^ +size +544 +600 +56 +68\.00 %$'
has out 'optimum: exact loss' '^Loss 0\.021 \(exactly 21/1000\)$'
has out 'optimum: verdict' '^OPTIMAL: .*it is the only one \(certificate accepted by qverify-check\)$'
valid_allocation 'optimum' "$T/r.json"
check 'report: verdict' test "$(json "$T/r.json" verdict)" = OPTIMAL
check 'report: loss' grep -q '"loss": "21/1000"' "$T/r.json"
check 'report: checked' grep -q '"independently_checked": true' "$T/r.json"
check 'problem text beside the certificate' grep -qx 'row "size" 37 16/1' "$T/a.qap"
check 'the certificate stands alone' "$(dirname "$QVERIFY")/qverify-check" alloc "$T/a.qap" "$T/a.qva"
t 'qverify check' 0 check "$T/a.qva"
has out 'qverify check: the optimum' '^c optimum 21/1000$'
sed -i 's/^choice 63 0 1/choice 1060 1 1/' "$T/a.qva"
t 'qverify check, forged' 6 check "$T/a.qva"
check 'a forged one does not' sh -c "! '$(dirname "$QVERIFY")/qverify-check' alloc '$T/a.qap' '$T/a.qva'"
t 'the other engine' 0 allocate "$T/two.json" --method dp
has out 'the other engine: the same' '\(exactly 21/1000\)'
t 'unchecked is no claim' 5 allocate "$T/two.json" --no-check
has out 'unchecked: says so' '^UNKNOWN: .*\(not checked: --no-check\)$'
t 'a limit replaced' 0 allocate "$T/two.json" --limit size=100% --limit bops=4.5e6
has out 'a limit replaced: another optimum' '^Loss 0\.021 '
t 'no limit' 0 allocate "$T/two.json" --limit size=none
has out 'no limit: the least loss' '^Loss 0\.001 \(exactly 1/1000\)$'

t 'infeasible' 10 allocate "$T/two.json" --limit size=399 --json "$T/r.json"
has out 'infeasible: verdict' '^INFEASIBLE: no allocation keeps these limits \(certificate accepted by qverify-check\)$'
has out 'infeasible: points at --explain' 'explain'
valid_allocation 'infeasible' "$T/r.json"
t 'explained' 10 allocate "$T/two.json" --limit size=399 --explain --json "$T/r.json"
has out 'explained: which and to what' 'size: enough if its limit moves from 399 to 400, the others unchanged \(checked\)'
valid_allocation 'explained' "$T/r.json"
t 'two limits too low' 10 allocate "$T/two.json" --limit size=300 --limit bops=2e6 --explain --json "$T/r.json"
has out 'two limits: together' 'size: no value of this limit alone is enough; together with the others it has to move from 300 to 400'
has out 'two limits: together, the other' 'bops: .* from 2000000 to 2500000 \(checked\)'
valid_allocation 'two limits' "$T/r.json"

t 'front' 0 allocate "$T/two.json" --front size --limit size=none --json "$T/r.json"
has out 'front: by hand' '^ +400 +0\.35333333'
has out 'front: all' '^OPTIMAL: 3 points, 3 on the hull, and there are no others'
valid_allocation 'front' "$T/r.json"

t 'greedy claims nothing' 5 allocate "$T/two.json" --method greedy-amp
has out 'greedy: verdict' '^UNKNOWN: these limits hold, exactly; nothing is claimed about the optimum$'
t 'uniform' 5 allocate "$T/two.json" --method uniform-4
has out 'uniform: loss' '^Loss 0\.353333333333 \(exactly 53/150\)$'
t 'a method that is not there' 1 allocate "$T/two.json" --method greedy-ration
has err 'a method that is not there: hint' "did you mean 'ratio'"
t 'greedy without a limit' 1 allocate "$T/two.json" --limit size=none --method greedy-amp
t 'greedy with a certificate' 1 allocate "$T/two.json" --method greedy-amp --certificate "$T/x.qva"
t 'no such cost' 1 allocate "$T/two.json" --limit latency=3
has err 'no such cost: named' 'no cost "latency"'
t 'no such front' 1 allocate "$T/two.json" --front latency
t 'dominance with two limits' 3 allocate "$T/two.json" --method dp --limit bops=3e6
t 'no file' 2 allocate "$T/none.json" --json "$T/r.json"
check 'no file: incomplete report' test "$(json "$T/r.json" run_state)" = INCOMPLETE
valid_allocation 'no file' "$T/r.json"
sed 's/"1\/3"/"1\/0"/' "$T/two.json" >"$T/bad.json"
t 'a number that is none' 2 allocate "$T/bad.json"
has err 'a number that is none: where' 'group "conv1" candidate "w4": "1/0" is not an exact number'
t 'a certificate needs a name' 1 allocate "$T/two.json" --certificate "$T/a.qap"
awk 'BEGIN { printf "{\"format\":\"qverify-table/1\",\"costs\":[\"size\"],\"limits\":{\"size\":\"60%%\"},\"groups\":["; x = 7
  for (i = 0; i < 30; i++) { x = (x * 4801 + 1) % 65536; y = (x * 77 + 3) % 9973
    printf "%s{\"name\":\"g%d\",\"candidates\":[{\"name\":\"8\",\"loss\":0,\"cost\":{\"size\":%d}},{\"name\":\"4\",\"loss\":%d,\"cost\":{\"size\":%d}}]}", i ? "," : "", i, 2 * x + 2, x + y, x + 1 }
  print "]}" }' >"$T/hard.json"
t 'not given up' 0 allocate "$T/hard.json"
t 'given up' 5 allocate "$T/hard.json" --max-nodes 1
has out 'given up: says so' '^UNKNOWN: the search was ended by its limits'

# Couplings: both layers at the same precision (links), or at most one precision, leave w4 w4 only.
sed 's/"limits"/"links": [["conv1", "conv2"]], "limits"/' "$T/two.json" >"$T/linked.json"
t 'links' 0 allocate "$T/linked.json"
has out 'links: both narrow' '\(exactly 53/150\)'
sed 's/"limits"/"at_most_precisions": 1, "limits"/' "$T/two.json" >"$T/one.json"
t 'at most one precision' 0 allocate "$T/one.json"
has out 'at most one precision: both narrow' '\(exactly 53/150\)'
# A conversion that costs more than narrowing both does the same; it takes part in the loss: 21/1000 + 1/2 against 53/150.
sed 's/"limits"/"conversions": [{"between": ["conv1", "conv2"], "loss": "0.5"}], "limits"/' "$T/two.json" >"$T/conv.json"
t 'conversion costs' 0 allocate "$T/conv.json"
has out 'conversion costs: avoided' '\(exactly 53/150\)'
sed 's/"limits"/"pins": {"conv2": "w8"}, "limits"/' "$T/two.json" >"$T/pin.json"
t 'pins' 0 allocate "$T/pin.json" --limit size=700
has out 'pins: the rest follows' '^Loss 0\.333333333333 \(exactly 1/3\)$'

# Peaks, by hand. g h: rows a, b, peak, loss. 88: 100 60 100 0; 48: 60 60 60 1; 84: 90 30 90 3; 44: 50 30 50 4.
cat >"$T/peak.json" <<'END'
{ "format": "qverify-table/1", "costs": ["size", "ram@a", "ram@b"], "peaks": {"ram": ["ram@a", "ram@b"]},
  "groups": [
    { "name": "g", "candidates": [ {"name": "8", "loss": 0, "cost": {"size": 8, "ram@a": 80}}, {"name": "4", "loss": 1, "cost": {"size": 4, "ram@a": 40}}]},
    { "name": "h", "candidates": [ {"name": "8", "loss": 0, "cost": {"size": 8, "ram@a": 20, "ram@b": 60}}, {"name": "4", "loss": 3, "cost": {"size": 4, "ram@a": 10, "ram@b": 30}}]} ] }
END
t 'peak' 0 allocate "$T/peak.json" --limit ram=60% --json "$T/r.json" --certificate "$T/p.qva"
has out 'peak: used, limit, full' '^ +ram \(ram@a\) +60 +60 +0 +60\.00 %$'
has out 'peak: loss' '^Loss 1$'
valid_allocation 'peak' "$T/r.json"
check 'peak: the problem has its rows' sh -c "grep -qx 'row \"ram@a\" 6 10/1' '$T/p.qap' && grep -qx 'row \"ram@b\" 2 30/1' '$T/p.qap'"
t 'peak: one less' 0 allocate "$T/peak.json" --limit ram=59
has out 'peak: one less, both narrow' '^Loss 4$'
t 'peak: range' 0 allocate "$T/peak.json" --limit ram=20%range
has out 'peak: 50 + 20 % of 50' '^ +ram \(ram@a\) +60 +60 +0 '
t 'peak: infeasible' 10 allocate "$T/peak.json" --limit ram=49 --explain --json "$T/r.json"
has out 'peak: to what' '^  ram: enough if its limit moves from 49 to 50, the others unchanged \(checked\)$'
valid_allocation 'peak, infeasible' "$T/r.json"
t 'peak: together' 10 allocate "$T/peak.json" --limit ram=10 --limit size=7 --explain
has out 'peak: together, size' 'size: .* from 7 to 8 \(checked\)'
has out 'peak: together, ram' 'ram: .* from 10 to 50 \(checked\)'
t 'peak: a row has no limit of its own' 1 allocate "$T/peak.json" --limit ram@a=50
has err 'peak: says whose' 'set that of "ram"'
t 'peak compared' 0 compare "$T/peak.json" --cost ram --at 60
has out 'peak compared: uniform 8' '^ +uniform 8 +0 +- +16 +100 +BROKEN$'
sed 's/"ram@b"\]}/"ram@c"]}/' "$T/peak.json" >"$T/bad.json"
t 'peak of a cost that is not there' 2 allocate "$T/bad.json"

t 'compare' 0 compare "$T/two.json" --at 75% --figure "$T/f.html" --json "$T/r.json"
has out 'compare: the optimum' '^ +optimum +0\.021 +0 +544 +3000000 +kept$'
has out 'compare: uniform 8 is too large' '^ +uniform 8 +0\.001 +- +800 +5000000 +BROKEN$'
has out 'compare: uniform 4' '^ +uniform 4 +0\.353333333333 +\+1582\.54 +400 +2500000 +kept$'
has out 'compare: checked' '^Every optimum and the front: certificate accepted by qverify-check$'
valid_allocation 'compare' "$T/r.json"
check 'figure: page' grep -q '</html>' "$T/f.html"
check 'figure: needs nothing else' sh -c "! grep -qE 'https?://|src=|@import' '$T/f.html'"
t 'figure alone' 0 compare "$T/two.json" --at 75% --figure "$T/f.svg"
check 'figure alone: svg' sh -c "head -n 1 '$T/f.svg' | grep -q '^<svg '"
t 'grid' 0 compare "$T/two.json" --grid 5
has out 'grid: the gap table' '^ +amp +[0-9.]+ +[0-9.]+ +[0-9]+ of 4 +0$'
t 'compare unchecked' 5 compare "$T/two.json" --no-check
t 'compare at nonsense' 1 compare "$T/two.json" --at wide
t 'same run, same bytes' 0 allocate "$T/two.json" --json "$T/r1.json"
t 'same run, same bytes again' 0 allocate "$T/two.json" --json "$T/r1.json"
check 'content hash' test -n "$(json "$T/r1.json" content_sha256)"

# Three groups in a chain, wide 8 and narrow 4; least sensitive first: b, then c. Phase 2 narrows b alone: 10 + 20 conversions.
cat >"$T/chain.json" <<'END'
{ "format": "qverify-table/1", "costs": ["size", "bops"],
  "groups": [
    { "name": "a", "candidates": [ {"name": "8", "loss": 0, "cost": {"size": 80, "bops": 64}}, {"name": "4", "loss": 9, "cost": {"size": 40, "bops": 16}} ] },
    { "name": "b", "candidates": [ {"name": "8", "loss": 0, "cost": {"size": 80, "bops": 64}}, {"name": "4", "loss": 1, "cost": {"size": 40, "bops": 16}} ] },
    { "name": "c", "candidates": [ {"name": "8", "loss": 0, "cost": {"size": 80, "bops": 64}}, {"name": "4", "loss": 2, "cost": {"size": 40, "bops": 16}} ] } ],
  "edges": [ {"between": ["a", "b"], "weight": 10}, {"between": ["b", "c"], "weight": 20} ] }
END
t 'phase 3' 5 allocate "$T/chain.json" --limit bops=150 --method greedy-amp --phase3 1,0.5 --json "$T/r.json"
has out 'phase 3: before' '^  phase 2: conversions 30, bops 144, loss 1$'
has out 'phase 3: nothing to gain' '^  alpha 1: conversions 30, bops 144, loss 1 \(proved: .*; certificate accepted\)$'
has out 'phase 3: the limit' '^  alpha 0\.5: nothing keeps it within the limits \(proved, certificate accepted\)$'
has out 'phase 3: what is taken' '^AMP phase 3: alpha 1 is taken$'
valid_allocation 'phase 3' "$T/r.json"
t 'phase 3: narrow twice' 5 allocate "$T/chain.json" --limit bops=100 --limit size=none --method greedy-amp --phase3 1/3,0
has out 'phase 3: narrow twice, before' '^  phase 2: conversions 10, bops 96, loss 3$'
t 'phase 3: in a comparison' 0 compare "$T/chain.json" --cost bops --at 100 --phase3 0.5
has out 'phase 3: in a comparison, row' '^  amp-phase3 +3 '
t 'phase 3: another method' 1 allocate "$T/chain.json" --limit bops=150 --method greedy-nncf --phase3 1
t 'phase 3: no number' 1 allocate "$T/chain.json" --limit bops=150 --method greedy-amp --phase3 1,,0
t 'phase 3: negative' 1 allocate "$T/chain.json" --limit bops=150 --method greedy-amp --phase3 -1
t 'phase 3: how to count' 1 allocate "$T/chain.json" --limit bops=150 --method greedy-amp --phase3 1 --conversions twice
t 'phase 3: a table without edges' 1 allocate "$T/two.json" --method greedy-amp --phase3 1
finish
