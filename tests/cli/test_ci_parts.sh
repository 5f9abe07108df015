# Queries in parts, error bounds, bundles as archives, workers side by side.
. "$(dirname "$0")/lib.sh"
CHECK=${QVERIFY%/*}/qverify-check
fc_model >"$T/fc.qir"
all_pairs >"$T/all.bin"
F=tests/corpus/float

# ---- the parts of a box are the box: each input is in exactly one, by the properties that the parts leave -----------------------------------
for n in 1 2 3 5 16; do
  for k in $(seq $n); do "$QVERIFY" robust "$T/fc.qir" -i "$T/all.bin" --index 25700 --eps 2 --part $k/$n --certificate "$T/p$n" >/dev/null 2>&1; done
  # two elements, two lines of intervals each
  count=$(for f in "$T/p$n"/25700-part-*.qvp; do
    awk '/^input 0 elements 2/ { getline; a = $1; b = $2; getline; for (x = a; x <= b; x++) for (y = $1; y <= $2; y++) print x, y }
         /^input 0 range/ { for (x = $4; x <= $5; x++) for (y = $4; y <= $5; y++) print x, y }' "$f"
  done | sort | uniq -c | awk '$1 == 1' | wc -l)
  if [ "$count" = 25 ]; then ok "$n parts: 25 inputs, each in one part"; else not_ok "$n parts: $count inputs in exactly one part, 25 expected"; fi
done
check 'more parts than inputs: the last one repeats' sh -c "'$QVERIFY' robust '$T/fc.qir' -i '$T/all.bin' --index 65535 --eps 1 --part 9/9 --certificate '$T/small' && test \"\$(sed -n '/^input/,/^keep/p' '$T/small/65535-part-9-9.qvp' | sed -n '2,3p' | tr '\n' ' ')\" = '255 255 255 255 '"
t 'parts: 0/3' 1 robust "$T/fc.qir" -i "$T/all.bin" --index 0 --eps 1 --part 0/3
t 'parts: 4/3' 1 robust "$T/fc.qir" -i "$T/all.bin" --index 0 --eps 1 --part 4/3

# ---- verdicts in parts are those of the whole ------------------------------------------------------------------------------------------------
manifest() { # SPLIT
  cat <<EOM
{"format":"qverify-ci/1","models":{"m":{"path":"fc.qir"}},"obligations":[
 {"id":"near","check":"robust","model":"m","input":"all.bin","index":"65500:65503,128,3","eps":3,"at_least":0$1},
 {"id":"far","check":"robust","model":"m","input":"all.bin","index":"0:2","eps":60$1}]}
EOM
}
manifest '' >"$T/whole.json"
manifest ',"split":4' >"$T/split.json"
t 'whole' 10 ci --manifest "$T/whole.json" --results "$T/w" --json "$T/w.json"
has out 'whole: far' 'far: FALSIFIED'
t 'in parts' 10 ci --manifest "$T/split.json" --results "$T/s" --json "$T/s.json"
counts() { grep -A 4 '"counts"' "$1" | grep -E 'verified|falsified|unknown'; }
check 'in parts: the same counts' test "$(counts "$T/w.json")" = "$(counts "$T/s.json")"
check 'in parts: the report follows its schema' "$TOOLS/schema_check" docs/ci.schema.json "$T/s.json"
t 'in parts: by an option' 10 ci --manifest "$T/whole.json" --split 4 --results "$T/s" --json "$T/s2.json"
check 'in parts: an option says the same' test "$(counts "$T/s2.json")" = "$(counts "$T/s.json")"
# a part's certificate is missing, or of another part
c=$(ls "$T"/s/*.evidence/65500-part-2-4.qvc)
mv "$c" "$T/kept.qvc"
t 'a missing part' 10 ci --manifest "$T/split.json" --results "$T/s" --json "$T/s3.json"
check 'a missing part: not proved' sh -c "grep -B 2 -A 9 'robust/65500' '$T/s3.json' | grep -q 'not all of the evidence is here'"
o=$(ls "$T"/s/*.evidence/65500-part-1-4.qvc)
cp "$o" "$c"
cp "${o%c}p" "${c%c}p"
t 'a part twice in place of another' 10 ci --manifest "$T/split.json" --results "$T/s" --json "$T/s3.json"
check 'a part twice: not proved' sh -c "grep -B 2 -A 9 'robust/65500' '$T/s3.json' | grep -q 'does not accept the cover'"
rm -rf "$T/s"
t 'in parts: plan' 0 plan "$T/split.json" -o "$T/s.jsonl"
t 'in parts: work' 0 work "$T/s.jsonl" --results "$T/s"
t 'in parts: bundle' 10 bundle "$T/s.jsonl" --results "$T/s" -o "$T/sb"
check 'in parts: the bundle checks its covers' sh -c "test -s '$T/sb/COVERS' && CHECKER='$CHECK' sh '$T/sb/CHECK' >'$T/out'"
has out 'in parts: none rejected' ', 0 rejected$'
for n in 1 2 7; do
  rm -rf "$T/n$n"
  t "plan $n" 0 plan "$T/split.json" -o "$T/n.jsonl"
  for k in $(seq $n); do "$QVERIFY" work "$T/n.jsonl" --shard $k/$n --results "$T/n$n" >/dev/null 2>&1; done
  "$QVERIFY" merge "$T/n.jsonl" --results "$T/n$n" --json "$T/n$n.json" >/dev/null 2>&1
done
check 'in parts: 1, 2 and 7 shards' test "$(json "$T/n1.json" content_sha256)$(json "$T/n2.json" content_sha256)" = "$(json "$T/n7.json" content_sha256)$(json "$T/n7.json" content_sha256)"
for m in '"brightness":3,"split":2' '"eps":1,"split":0' '"eps":1,"split":5000'; do
  echo "{\"format\":\"qverify-ci/1\",\"models\":{\"m\":{\"path\":\"fc.qir\"}},\"obligations\":[{\"id\":\"a\",\"check\":\"robust\",\"model\":\"m\",\"input\":\"all.bin\",\"index\":\"0\",$m}]}" >"$T/bad.json"
  t "refused: $m" 2 plan "$T/bad.json" -o "$T/bad.jsonl"
done

# ---- workers side by side share a folder: each job is one worker's -----------------------------------------------------------------------------
t 'two workers: plan' 0 plan "$T/whole.json" --batch 1 -o "$T/two.jsonl"
"$QVERIFY" work "$T/two.jsonl" --results "$T/two" --jobs 1 >"$T/one.out" 2>&1 &
"$QVERIFY" work "$T/two.jsonl" --results "$T/two" --jobs 1 >"$T/two.out" 2>&1 &
wait
check 'two workers: every job once' test "$(cat "$T/one.out" "$T/two.out" | awk '/jobs run/ { n += $1 } END { print n }')" = 9
t 'two workers: merged' 10 merge "$T/two.jsonl" --results "$T/two" --json "$T/two.json"

# ---- error bounds --------------------------------------------------------------------------------------------------------------------------------
awk 'BEGIN { s = 7; for (i = 0; i < 20; i++) { for (k = 0; k < 4; k++) { s = (s * 1103515245 + 12345) % 2147483648; printf "%s%.4f", k ? "," : "", s / 1073741824 - 1 } print "" } }' >"$T/x.csv"
t 'quantize' 0 quantize $F/dense.onnx --calib "$T/x.csv" -o "$T/dense8.onnx"
for w in 100 0.000001; do
  cat >"$T/e$w.json" <<EOM
{"format":"qverify-ci/1","models":{"d":{"path":"dense8.onnx","profile":"ort-vnni"}},"obligations":[
 {"id":"e","check":"error","model":"d","float":"$ROOT/$F/dense.onnx","within":$w,"range":"-1:1"}]}
EOM
done
t 'an error bound that holds' 0 ci --manifest "$T/e100.json" --results "$T/e" --json "$T/e.json" --html "$T/e.html"
check 'an error bound: says that nobody checks it' grep -q 'no second program checks this' "$T/e.json"
check 'an error bound: the report follows its schema' "$TOOLS/schema_check" docs/ci.schema.json "$T/e.json"
t 'an error bound that does not' 10 ci --manifest "$T/e0.000001.json" --results "$T/e"
has out 'an error bound: by how much' 'why: an input was executed on which an output is at least [0-9.e-]+ from the float network'
sed -i 's/"within":100,//' "$T/e100.json"
t 'an error bound without a limit' 2 ci --manifest "$T/e100.json" --results "$T/e"

# ---- bundles: folder and archive, the same bytes from another run -----------------------------------------------------------------------------------
cat >"$T/b.json" <<EOM
{"format":"qverify-ci/1","models":{"m":{"path":"fc.qir"}},"obligations":[
 {"id":"near","check":"robust","model":"m","input":"all.bin","index":"65500:65503","eps":3},
 {"id":"far","check":"robust","model":"m","input":"all.bin","index":"0:2","eps":60},
 {"id":"sums","check":"overflow","model":"m","acc_bits":12}]}
EOM
t 'bundle: plan' 0 plan "$T/b.json" -o "$T/b.jsonl"
for r in 1 2; do
  t "bundle: run $r" 0 work "$T/b.jsonl" --results "$T/b$r"
  t "bundle: folder $r" 10 bundle "$T/b.jsonl" --results "$T/b$r" -o "$T/folder$r"
  t "bundle: archive $r" 10 bundle "$T/b.jsonl" --results "$T/b$r" -o "$T/b$r.zip"
done
check 'bundle: another run, the same folder' diff -r "$T/folder1" "$T/folder2"
check 'bundle: another run, the same archive' cmp "$T/b1.zip" "$T/b2.zip"
check 'bundle: counterexamples of overflow and robustness' sh -c "ls '$T'/folder1/evidence/*.witness/*_input0.npy | wc -l | grep -qE '^([4-9]|[1-9][0-9])'"
t 'bundle: not over an old archive' 1 bundle "$T/b.jsonl" --results "$T/b1" -o "$T/b1.zip"
if command -v python3 >/dev/null; then
  check 'bundle: Python reads the archive' python3 -c "import zipfile; z = zipfile.ZipFile('$T/b1.zip'); assert z.testzip() is None; z.extractall('$T/unpacked')"
  check 'bundle: the archive is the folder' diff -r "$T/folder1" "$T/unpacked"
  check 'bundle: checks itself' sh -c "CHECKER='$CHECK' sh '$T/unpacked/CHECK' >'$T/out'"
  has out 'bundle: how many' '^8 accepted, 0 rejected$'
else skip 'SKIPPED: no python3 to read the archive'; fi
finish
