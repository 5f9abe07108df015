# The commands of docs/tutorial.md, in a copy of examples/tutorial, with what the document shows.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/console.sh"
if [ "$MODE" != release ]; then
  ok 'the tutorial is run in release mode' # the same commands under the sanitizers: the tests of each command
  finish
fi
export LANG=C.UTF-8 LC_ALL=C.UTF-8
cp -r examples/tutorial "$T/work"
cd "$T/work"
PATH=${QVERIFY%/*}:$PATH console_blocks "$ROOT/docs/tutorial.md" tutorial
if ((n < 15)); then not_ok "tutorial: only $n commands found"; fi
for f in front.svg report.html cex/1_adversarial.png; do check "tutorial: $f" test -s "$f"; done
cd "$ROOT"
for f in docs/pictures/*; do if (($(wc -c <"$f") < 150000)); then ok "$f: under 150 kB"; else not_ok "$f: too large"; fi; done
finish
