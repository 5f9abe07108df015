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
 {"id":"gone","check":"overflow","model":"w","domain":"<u>nowhere.qvp"},
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
  'REQ-1 <b>' '#<i>' '<u>nowhere.qvp' '5 of 9 obligations hold, 3 refuted' 's CHECKED' 'qverify-check alloc'
for s in assumptions obligations accumulators shares radii gallery questions front time check; do check "section $s" grep -q "id=\"$s\"" "$T/all.html"; done
check 'a row for every obligation' test "$(grep -c '<tr data-v="[A-Z]*" data-k=' "$T/all.html")" = 9
check 'a row for every question' test "$(grep -c '<tr data-v="[A-Z]*"><td>' "$T/all.html")" = 70
check 'the gallery says what it leaves out' grep -qE 'Showing 24 of [0-9]+; all in the bundle' "$T/all.html"
check 'three pictures each' test "$(grep -o 'src="data:image/png;base64,' "$T/all.html" | wc -l)" = 72
check 'the chosen point and the budget' grep -q 'class="limit"' "$T/all.html"
refuted=$(grep -o '"verdict": "FALSIFIED"' "$T/all.json" | wc -l)
check 'the same page again' sh -c "cd '$T/all' && '$QVERIFY' ci --results '$T/r' --html '$T/again.html' --batch 10 >/dev/null 2>&1; cmp '$T/all.html' '$T/again.html'"
check 'verdicts of the report are those of the page' test "$(grep -c '<tr data-v="FALSIFIED" data-k=' "$T/all.html")" = "$((refuted - 1))"

# The histogram against the results it is made of.
grep -hA 1 '"proved": "' "$T/r"/*.json | tr -dc '0-9\n' | paste - - - 2>/dev/null | awk '{ if ($2 == $1 + 1) e++; else p++ } END { print e + 0, p + 0 }' >"$T/want"
for k in 'of exactly this radius' 'certified to this radius, open above'; do grep -oE "<title>[0-9]+ $k" "$T/all.html" | tr -dc '0-9\n' | awk '{ n += $1 } END { printf "%d ", n }'; done | sed 's/ $/\n/' >"$T/got"
check 'the histogram counts every radius' cmp "$T/want" "$T/got"
check 'the histogram is of ten samples, but for those without any' test "$(($(tr ' ' '+' <"$T/got") + $(grep -h '"proved": null' "$T/r"/*.json | wc -l)))" = 10

# The checks in its text are commands that work.
text() { sed 's/&quot;/"/g; s/&gt;/>/g; s/&lt;/</g; s/&amp;/\&/g'; }
works() { # name, command of the page
  check "its check of $1 works" sh -c "cd '$T/r' && export PATH='${QVERIFY%/*}':\$PATH && test -n \"\$1\" && out=\$(sh -c \"\$1\") && ! echo \"\$out\" | grep '^s ' | grep -qv '^s CHECKED' && echo \"\$out\" | tail -n 1 | grep -q '^s CHECKED'" sh "$2"
}
works 'an allocation' "$(grep -o 'qverify-check alloc [^<]*' "$T/all.html" | head -n 1 | text)"
works 'an overflow' "$(grep -o 'qverify-check [0-9a-f]*\.qir - [^<]*' "$T/all.html" | head -n 1 | text)"
works 'robustness' "$(grep -o 'for c in [^<]*' "$T/all.html" | head -n 1 | text)"

# Questions in parts: one row a question, not one a part.
cat >"$T/parts.json" <<EOF
{"format":"qverify-ci/1","models":{"w":{"path":"$S/wide.tflite"}},"obligations":[
 {"id":"cut","check":"robust","model":"w","input":"$S/test_images.npy","labels":"$S/test_labels.txt","index":"5:7","eps":2,"steps":60,"split":3}]}
EOF
t 'in parts' 10 ci --manifest "$T/parts.json" --results "$T/parts" --html "$T/parts.html"
check 'in parts: well formed' "$HTML" "$T/parts.html" '3 of 3 parts proved'
check 'in parts: three rows' test "$(grep -c '<tr data-v="[A-Z]*"><td>' "$T/parts.html")" = 3

# Nothing to show: no empty headings.
t 'one obligation' 0 ci --manifest examples/ci/pass/qverify.json --only 'acc*' --results "$T/one" --html "$T/one.html"
check 'one obligation: well formed' "$HTML" "$T/one.html"
for s in accumulators shares radii gallery questions front; do check "one obligation: no section $s" sh -c "! grep -q 'id=\"$s\"' '$T/one.html'"; done
t 'nothing selected' 5 ci --manifest examples/ci/pass/qverify.json --tag nobody --results "$T/none" --html "$T/none.html"
check 'nothing selected: well formed' "$HTML" "$T/none.html" 'NOTHING_SELECTED'

# Results that somebody has tampered with are text all the same, and name no files elsewhere.
mkdir "$T/evil"
for f in "$T/r"/*.json; do sed 's,"id": "robust/[0-9]*","id": "robust/../../../etc/x",; s,"bits": [0-9][0-9]*,"bits": 1e300,; s,"proved": "[0-9]*","proved": "1e14",; s,"seconds": "[0-9.]*","seconds": "1e999",; s,"engine": "[a-z]*","engine": "<script>alert(9)</script>",; s,"lo": "\(-*[0-9]*\)","lo": "1\\"><script>alert(8)</script>",' "$f" >"$T/evil/${f##*/}"; done
(cd "$T/all" && "$QVERIFY" plan qverify.json -o "$T/evil.jsonl" --batch 10 && "$QVERIFY" merge "$T/evil.jsonl" --results "$T/evil" --html "$T/evil.html") >/dev/null 2>"$T/err"
check 'tampered results: well formed' "$HTML" "$T/evil.html"
finish
