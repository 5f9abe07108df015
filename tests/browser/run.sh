#!/bin/bash
# The page of `qverify ci` in headless Chromium (make check-browser): Debian's chromium, driven by playwright-core from npm in a scratch folder.
# Pages and screenshots stay in build/browser. Without a browser or npm nothing is skipped silently: exit code 1 and a line that says so.
set -euo pipefail
ROOT=$(cd "$(dirname "$0")/../.." && pwd)
cd "$ROOT"
QVERIFY=${QVERIFY:-$ROOT/build/release/qverify}
OUT=${OUT:-$ROOT/build/browser}
S=$ROOT/examples/shapes
need() {
  command -v "$1" >/dev/null && return
  if [ "$(id -u)" = 0 ]; then apt-get install -y -q "$2" >/dev/null; fi
  command -v "$1" >/dev/null || { echo "SKIPPED: no $1 here (apt-get install $2): the page was NOT tested in a browser"; exit 1; }
}
need chromium chromium
need node nodejs
need npm npm
rm -rf "$OUT"
mkdir -p "$OUT"
T=$(mktemp -d)
trap 'rm -rf "$T"' EXIT
(cd "$T" && npm init -y >/dev/null 2>&1 && npm install --no-audit --no-fund playwright-core@1.56.1 >npm.log 2>&1) || { cat "$T/npm.log"; echo "playwright-core cannot be installed"; exit 1; }

# Every section, with hostile names; one that holds; a thousand questions.
head='{"format":"qverify-ci/1","models":{"s":{"path":"'$S'/shapes.tflite"},"w":{"path":"'$S'/wide.tflite"},"<script>alert(1)</script>":{"path":"'$S'/wide.tflite"}}'
data='"input":"'$S'/test_images.npy","labels":"'$S'/test_labels.txt"'
cat >"$T/all.json" <<EOF
$head,"name":"Shapes <script>alert(1)</script>","obligations":[
 {"id":"safe-32","requirement":"REQ-1","tags":["fast"],"check":"overflow","model":"s"},
 {"id":"narrow-16","requirement":"REQ-1","check":"overflow","model":"<script>alert(1)</script>","acc_bits":16},
 {"id":"kernel","requirement":"REQ-2","check":"audit","model":"s","kernel":"avx2-u8s8"},
 {"id":"gone","check":"overflow","model":"w","domain":"nowhere.qvp"},
 {"id":"accuracy","requirement":"REQ-3","check":"accuracy","model":"s",$data,"at_least":"99%"},
 {"id":"robust-1","requirement":"REQ-4","check":"robust","model":"w",$data,"index":"0:39","eps":1,"steps":100,"at_least":"80%"},
 {"id":"robust-4","requirement":"REQ-4","check":"robust","model":"w",$data,"index":"0:39","eps":4,"steps":100,"at_least":"80%"},
 {"id":"radius","requirement":"REQ-5","check":"radius","model":"w",$data,"index":"0:39","radius":2,"max_eps":30,"steps":100,"at_least":"60%"},
 {"id":"widths","requirement":"REQ-6","check":"allocation","table":"$ROOT/examples/allocation/two-layers.json","limits":{"size":"75%"}}]}
EOF
{
  echo "$head,\"name\":\"A thousand questions\",\"obligations\":["
  for e in 1 2 3 4 6; do echo "{\"id\":\"eps-$e\",\"check\":\"robust\",\"model\":\"w\",$data,\"index\":\"0:199\",\"eps\":$e,\"steps\":5,\"at_least\":\"50%\"}$([ $e = 6 ] || echo ,)"; done
  echo ']}'
} >"$T/thousand.json"
for p in all thousand; do
  rc=0 # refuted and open obligations belong to the page; anything else is no run
  (cd "$T" && "$QVERIFY" ci --manifest $p.json --results "$T/r-$p" --html "$OUT/$p.html" >"$OUT/$p.txt" 2>&1) || rc=$?
  case $rc in 0 | 5 | 10) ;; *) echo "not ok qverify ci on $p.json: exit $rc"; exit 1 ;; esac
done
"$QVERIFY" ci --manifest examples/ci/pass/qverify.json --results "$T/r-pass" --html "$OUT/pass.html" >/dev/null
cp tests/browser/check.mjs "$T/"
cd "$T"
CHROMIUM=$(command -v chromium) node check.mjs "$OUT"
