# Certificates, the independent checker, domains, witness files.
. "$(dirname "$0")/lib.sh"
fc_model >"$T/fc.qir"
two_model >"$T/two.qir"
parabola_model >"$T/parabola.qir"
CHECK=$(dirname "$QVERIFY")/qverify-check

# a certificate that can be kept
t 'certificate' 0 overflow "$T/fc.qir" --certificate "$T/keep.qvc" --json "$T/r.json"
check 'the net beside it is the canonical text' cmp "$T/fc.qir" "$T/keep.qir"
check 'no property beside it: the default one' test ! -e "$T/keep.qvp"
valid_report 'certificate' "$T/r.json"
check 'report: hash of the certificate' grep -q "$(sha256sum "$T/keep.qvc" | cut -d' ' -f1)" "$T/r.json"
check 'report: checked by' grep -q '"checked_by": "qverify-check"' "$T/r.json"
t 'check' 0 check "$T/keep.qvc"
has out 'check: what the checker says' '^s CHECKED$'
check 'the checker alone' "$CHECK" "$T/keep.qir" - "$T/keep.qvc"
t 'certificate for another width' 0 overflow "$T/fc.qir" --acc-bits 17 --certificate "$T/w17.qvc"
check 'the property beside it' grep -qx 'acc-bits 17' "$T/w17.qvp"
t 'check with a property' 0 check "$T/w17.qvc"
t 'a certificate of what is not known' 5 overflow "$T/parabola.qir" --acc-bits 9 --certificate "$T/u.qvc"
t 'check: accepted, but no proof' 5 check "$T/u.qvc"
t 'certificate over its own net' 6 overflow "$T/fc.qir" --certificate "$T/fc2.qir"

# what must not be accepted
t 'another net' 6 check "$T/keep.qvc" --net "$T/two.qir"
t 'another property' 6 check "$T/keep.qvc" --property "$T/w17.qvp"
t 'certificate missing' 2 check "$T/none.qvc"
t 'net missing' 2 check "$T/keep.qvc" --net "$T/none.qir"
flips=0 accepted=0
for at in $(seq 0 7 $(($(stat -c %s "$T/keep.qvc") - 1))); do
  cp "$T/keep.qvc" "$T/flip.qvc"
  byte=$(od -An -tu1 -j "$at" -N 1 "$T/flip.qvc")
  printf "\\x$(printf %x $((byte ^ 1)))" | dd of="$T/flip.qvc" bs=1 seek="$at" conv=notrunc 2>/dev/null
  "$QVERIFY" check "$T/flip.qvc" --net "$T/keep.qir" --property - >/dev/null 2>&1 && accepted=$((accepted + 1))
  flips=$((flips + 1))
done
if ((flips > 20 && accepted == 0)); then ok "none of $flips flipped certificates is accepted"; else not_ok "$accepted of $flips flipped certificates accepted"; fi

# a checker that is missing, lies or dies: never a pass
mkdir "$T/bin"
cp "$QVERIFY" "$T/bin/qverify"
real=$QVERIFY
QVERIFY=$T/bin/qverify
PATH_was=$PATH
fake() { # name, shell script
  printf '#!/bin/sh\n%s\n' "$2" >"$T/bin/qverify-check"
  chmod +x "$T/bin/qverify-check"
  t "checker: $1" 6 overflow "$T/fc.qir" --json "$T/r.json"
  check "checker: $1: the report claims nothing" test "$(json "$T/r.json" verdict)" = UNKNOWN
}
if [ -e /usr/bin/qverify-check ] || [ -e /usr/local/bin/qverify-check ]; then skip 'a missing checker: one is installed'; else
  t 'checker: missing' 6 overflow "$T/fc.qir" --json "$T/r.json"
  has err 'checker: missing: says so' 'qverify-check cannot be run'
  check 'checker: missing: the report claims nothing' test "$(json "$T/r.json" verdict)" = UNKNOWN
fi
fake 'silent success' 'exit 0'
fake 'right words, wrong exit code' 'echo "c verdict verified"; echo "s CHECKED"; exit 1'
fake 'accepts something else' 'echo "c verdict unknown"; echo "s CHECKED"; exit 0'
fake 'words after the verdict' 'echo "c verdict verified"; echo "s CHECKED"; echo more; exit 0'
fake 'no verdict line' 'echo "s CHECKED"; exit 0'
fake 'part of a line' 'echo "not c verdict verified"; echo "s CHECKED"; exit 0'
fake 'rejects' 'echo "s REJECTED"; exit 1'
fake 'killed' 'kill -9 $$'
t 'without the checker' 0 overflow "$T/fc.qir" --no-check --json "$T/r.json"
has out 'without the checker: the last line says so' 'NOT independently checked'
check 'without the checker: so does the report' grep -q '"independently_checked": false' "$T/r.json"
valid_report 'without the checker' "$T/r.json"
PATH=$PATH_was
QVERIFY=$real

# domains: acc1 = 20 + 30 x0 + 127 x1 fits 16 bits if x1 <= 197: 20 + 7650 + 25019 = 32689; with 198 it is 32816
printf '; the second sensor is limited\ninput x [1] 0 197\n' >"$T/d197"
printf 'input #0 [1] 0 198\n' >"$T/d198"
t 'domain: proved' 0 overflow "$T/fc.qir" --acc-bits 16 --domain "$T/d197" --certificate "$T/d.qvc" --json "$T/r.json"
has out 'domain: range' ' -404 +32689 +16 +16 wrap +0 '
has out 'domain: among the assumptions' 'd197'
valid_report 'domain' "$T/r.json"
t 'domain: certificate' 0 check "$T/d.qvc"
t 'domain: canonical form' 0 overflow "$T/fc.qir" --domain "$T/d.qvp"
has out 'domain: canonical form carries the width' '16-bit accumulators'
t 'domain: refuted one step wider' 10 overflow "$T/fc.qir" --acc-bits 16 --domain "$T/d198" --cex "$T/cex.npy"
check 'domain: the counterexample lies inside' sh -c "[ \$(tail -c 1 '$T/cex.npy' | od -An -tu1) -le 198 ]"
printf 'input y 0 1\n' >"$T/dbad"
t 'domain: unknown input' 2 overflow "$T/fc.qir" --domain "$T/dbad"
has err 'domain: file and line' 'dbad: line 1'
printf 'input x 0 256\n' >"$T/dbad"
t 'domain: outside the type' 2 overflow "$T/fc.qir" --domain "$T/dbad"
printf 'input x 5 4\n' >"$T/dbad"
t 'domain: empty' 2 overflow "$T/fc.qir" --domain "$T/dbad"
t 'domain: missing' 2 overflow "$T/fc.qir" --domain "$T/none"
printf '\000\000\012\144' >"$T/cal.bin" # samples (0,0) and (10,100): acc1 <= 20 + 300 + 12700
t 'calibrate' 0 overflow "$T/fc.qir" --acc-bits 15 --calibrate "$T/cal.bin"
has out 'calibrate: range' ' -210 +13020 +15 '
t 'calibrate: wrong count' 1 overflow "$T/two.qir" --calibrate "$T/cal.bin"
t 'domain and calibrate' 1 overflow "$T/fc.qir" --domain "$T/d197" --calibrate "$T/cal.bin"

# witness files
t 'witness' 10 overflow "$T/fc.qir" --acc-bits 16 --witness "$T/wit"
check 'witness: input' test -s "$T/wit/node0_input0.npy"
t 'witness: it runs' 0 run "$T/fc.qir" -i "$T/wit/node0_input0.npy" -o "$T/y.bin"
check 'witness: C arrays compile' gcc -std=c11 -fsyntax-only -Wall -Wextra -Wno-unused-variable -x c "$T/wit/node0.h"
t 'witness: a file in the way' 6 overflow "$T/fc.qir" --acc-bits 16 --witness "$T/fc.qir"
finish
