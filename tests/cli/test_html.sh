# The page of qverify ci without a browser: well formed, alone, text of others is text, each section where there is something to show.
# (tests/browser looks at it with Chromium: make check-browser.)
. "$(dirname "$0")/lib.sh"
S=$ROOT/examples/shapes
HTML=$TOOLS/html_check

# A manifest of every kind; the names are hostile.
pages() { # folder
  mkdir -p "$1"
  cp "$S/shapes.tflite" "$1/<img src=x onerror=alert(2)>.tflite"
  cat >"$1/qverify.json" <<EOF
{"format":"qverify-ci/1","name":"</title><script>alert(1)</script> & \"quoted\"",
 "models":{"<script>alert(3)</script>":{"path":"<img src=x onerror=alert(2)>.tflite"},"w":{"path":"$S/wide.tflite"}},"obligations":[
 {"id":"safe","requirement":"REQ-1 <b>","tags":["<i>"],"check":"overflow","model":"<script>alert(3)</script>"},
 {"id":"narrow","check":"overflow","model":"w","acc_bits":16},
 {"id":"gone","check":"overflow","model":"w","domain":"<u>nowhere</u>.qvp"},
 {"id":"kernel","check":"audit","model":"<script>alert(3)</script>","kernel":"avx2-u8s8"},
 {"id":"right","check":"accuracy","model":"<script>alert(3)</script>","input":"$S/test_images.npy","labels":"$S/test_labels.txt","at_least":"99%"},
 {"id":"near","check":"robust","model":"w","input":"$S/test_images.npy","labels":"$S/test_labels.txt","index":"0:19","eps":2,"steps":60,"at_least":"10%"},
 {"id":"far","check":"robust","model":"w","input":"$S/test_images.npy","labels":"$S/test_labels.txt","index":"0:39","eps":8,"steps":20,"at_least":"99%"},
 {"id":"radius","check":"radius","model":"w","input":"$S/test_images.npy","labels":"$S/test_labels.txt","index":"0:9","radius":2,"max_eps":20,"steps":60,"at_least":"10%"},
 {"id":"widths","check":"allocation","table":"$ROOT/examples/allocation/two-layers.json","limits":{"size":"75%"}}]}
EOF
}

pages "$T/all"
cd "$T/all"
"$QVERIFY" ci --results "$T/r" --html "$T/all.html" --json "$T/all.json" --batch 10 >"$T/out" 2>"$T/err"
if [ $? = 10 ]; then ok 'every kind'; else not_ok 'every kind: another exit code'; fi
cd "$ROOT"
check 'the page is well formed and alone' "$HTML" "$T/all.html" '</title><script>alert(1)</script> & "quoted"' '<script>alert(3)</script>' '<img src=x onerror=alert(2)>.tflite' \
  'REQ-1 <b>' '#<i>' '<u>nowhere</u>.qvp' '5 of 9 obligations hold, 3 refuted' 's CHECKED' 'qverify-check alloc'
for s in assumptions obligations accumulators shares radii gallery questions front time check; do check "section $s" grep -q "id=\"$s\"" "$T/all.html"; done
check 'a row for every obligation' test "$(grep -c '<tr data-v="[A-Z]*" data-k=' "$T/all.html")" = 9
check 'a row for every question' test "$(grep -c '<tr data-v="[A-Z]*"><td>' "$T/all.html")" = 70
check 'the gallery says what it leaves out' grep -qE 'Showing 24 of [0-9]+; all in the bundle' "$T/all.html"
check 'three pictures each' test "$(grep -o 'src="data:image/png;base64,' "$T/all.html" | wc -l)" = 72
check 'the chosen point and the budget' grep -q 'class="limit"' "$T/all.html"
refuted=$(grep -o '"verdict": "FALSIFIED"' "$T/all.json" | wc -l)
check 'the same page again' sh -c "cd '$T/all' && '$QVERIFY' ci --results '$T/r' --html '$T/again.html' --batch 10 >/dev/null 2>&1; cmp '$T/all.html' '$T/again.html'"
check 'verdicts of the report are those of the page' test "$(grep -c '<tr data-v="FALSIFIED" data-k=' "$T/all.html")" = "$((refuted - 1))"

# The checks in its text are commands that work.
key=$(grep -o '[0-9a-f]\{64\}\.qap' "$T/all.html" | head -n 1)
check 'its check of an allocation works' sh -c "cd '$T/r' && '${QVERIFY%/*}/qverify-check' alloc '$key' '${key%.qap}.qva' | tail -n 1 | grep -q '^s CHECKED'"
key=$(grep -o '[0-9a-f]\{64\}\.qir - ' "$T/all.html" | head -n 1)
check 'its check of an overflow works' sh -c "cd '$T/r' && '${QVERIFY%/*}/qverify-check' '${key% - }' - '${key%.qir - }.qvc' | tail -n 1 | grep -q '^s CHECKED'"

# Nothing to show: no empty headings.
t 'one obligation' 0 ci --manifest examples/ci/pass/qverify.json --only 'acc*' --results "$T/one" --html "$T/one.html"
check 'one obligation: well formed' "$HTML" "$T/one.html"
for s in accumulators shares radii gallery questions front; do check "one obligation: no section $s" sh -c "! grep -q 'id=\"$s\"' '$T/one.html'"; done
t 'nothing selected' 5 ci --manifest examples/ci/pass/qverify.json --tag nobody --results "$T/none" --html "$T/none.html"
check 'nothing selected: well formed' "$HTML" "$T/none.html" 'NOTHING_SELECTED'

# Results that somebody has tampered with are text all the same, and name no files elsewhere.
mkdir "$T/evil"
for f in "$T/r"/*.json; do sed 's,"id": "robust/[0-9]*","id": "robust/../../../etc/x",; s,"engine": "[a-z]*","engine": "<script>alert(9)</script>",; s,"lo": "\(-*[0-9]*\)","lo": "1\\"><script>alert(8)</script>",' "$f" >"$T/evil/${f##*/}"; done
(cd "$T/all" && "$QVERIFY" plan qverify.json -o "$T/evil.jsonl" --batch 10 && "$QVERIFY" merge "$T/evil.jsonl" --results "$T/evil" --html "$T/evil.html") >/dev/null 2>"$T/err"
check 'tampered results: well formed' "$HTML" "$T/evil.html"
finish
