# qverify robust and radius: verdicts against all inputs, evidence, journal, options, exit codes.
. "$(dirname "$0")/lib.sh"
fc_model >"$T/fc.qir"
two_model >"$T/two.qir"
CHECK=$(dirname "$QVERIFY")/qverify-check

# ---- every input and its class, by `run` ------------------------------------------------------------------------------------------
all_pairs >"$T/all.bin"
t 'all inputs' 0 run "$T/fc.qir" -i "$T/all.bin" -o "$T/y.bin"
od -An -v -w2 -td1 "$T/y.bin" >"$T/y.txt" # y0 y1 of input 256 a + b in line 256 a + b + 1
truth() { # a b eps ties margin-or-"": does any input of the box violate? prints VERIFIED or FALSIFIED
  awk -v a="$1" -v b="$2" -v e="$3" -v ties="$4" -v m="$5" '
    { y0[NR - 1] = $1; y1[NR - 1] = $2 }
    END {
      c = 256 * a + b
      cls = ties == "first" ? (y1[c] > y0[c]) : (y1[c] >= y0[c])
      bad = 0
      for (p = a - e; p <= a + e; p++) for (q = b - e; q <= b + e; q++) {
        if (p < 0 || q < 0 || p > 255 || q > 255) continue
        i = 256 * p + q
        k = ties == "first" ? (y1[i] > y0[i]) : (y1[i] >= y0[i])
        if (m != "") bad += (cls ? y1[i] - y0[i] : y0[i] - y1[i]) < m
        else bad += k != cls
      }
      print bad ? "FALSIFIED" : "VERIFIED"
    }' "$T/y.txt"
}
wrong=0 n=0 seen=
for s in '0 0 0' '0 0 1' '0 0 4' '3 0 2' '10 10 5' '20 1 3' '200 3 20' '0 5 5' '0 6 5' '255 255 40' '1 0 1' '128 0 60'; do
  set -- $s
  for ties in first last; do
    for m in '' 2 40; do
      want=$(truth "$1" "$2" "$3" $ties "$m")
      args=(--input "$T/all.bin" --index $((256 * $1 + $2)) --eps "$3" --ties $ties)
      [ -n "$m" ] && args+=(--margin "$m")
      got=$("$QVERIFY" robust "$T/fc.qir" "${args[@]}" 2>&1 | tail -n 1)
      n=$((n + 1)) seen="$seen $want"
      if [ "$got" != "$want" ]; then
        wrong=$((wrong + 1))
        echo "  $s $ties margin '$m': $got, all inputs say $want"
      fi
    done
  done
done
if ((n == 72 && wrong == 0)) && [[ $seen == *VERIFIED* && $seen == *FALSIFIED* ]]; then ok "$n verdicts agree with all inputs"; else not_ok "$wrong of $n verdicts are wrong"; fi

# an input on which both outputs are equal: the first of them counts, or the last
tie=$(awk '$1 == $2 { print NR - 1; exit }' "$T/y.txt")
if [ -z "$tie" ]; then not_ok 'an input with a tie'; else
  t 'tie: the first counts: class 0' 0 robust "$T/fc.qir" -i "$T/all.bin" --index "$tie" --eps 0 --label 0
  t 'tie: the first counts: not class 1' 10 robust "$T/fc.qir" -i "$T/all.bin" --index "$tie" --eps 0 --label 1
  t 'tie: the last counts: not class 0' 10 robust "$T/fc.qir" -i "$T/all.bin" --index "$tie" --eps 0 --label 0 --ties last
  t 'tie: the last counts: class 1' 0 robust "$T/fc.qir" -i "$T/all.bin" --index "$tie" --eps 0 --label 1 --ties last
  t 'tie: own class, first' 0 robust "$T/fc.qir" -i "$T/all.bin" --index "$tie" --eps 0
  has out 'tie: own class, first' 'class 0: VERIFIED'
  t 'tie: own class, last' 0 robust "$T/fc.qir" -i "$T/all.bin" --index "$tie" --eps 0 --ties last
  has out 'tie: own class, last' 'class 1: VERIFIED'
fi

# ---- exit codes, text, report --------------------------------------------------------------------------------------------------------
t 'verified: 0' 0 robust "$T/fc.qir" -i "$T/all.bin" --index 65535 --eps 3 --json "$T/r.json"
has out 'verified: line' '^sample 65535, class 1: VERIFIED by [a-z]+, [0-9.]+ s$'
has out 'verified: conclusion' 'every proof accepted by qverify-check$'
valid_report 'verified' "$T/r.json"
check 'verified: in the report' grep -q '"checked_by": "qverify-check"' "$T/r.json"
t 'falsified: 10' 10 robust "$T/fc.qir" -i "$T/all.bin" --index 0:3,256 --eps 60 --witness "$T/wit" --json "$T/r.json"
valid_report 'falsified' "$T/r.json"
check 'falsified: verdict' test "$(json "$T/r.json" verdict)" = FALSIFIED
check 'falsified: five obligations' test "$(grep -c '"id": "robust/' "$T/r.json")" = 5
t 'falsified: the witness runs' 0 run "$T/fc.qir" -i "$T/wit/0_input0.npy" -o "$T/w.bin"
check 'falsified: its class is the other one' test "$(od -An -td1 "$T/w.bin" | awk '{ print ($2 > $1) }')" = "$(sed -nE 's/^sample 0, class .*-> ([0-9]) by.*/\1/p' <("$QVERIFY" robust "$T/fc.qir" -i "$T/all.bin" --index 0 --eps 60))"
t 'unknown: 5' 5 robust "$T/fc.qir" -i "$T/all.bin" --index 65535 --eps 3 --engine attack --json "$T/r.json"
valid_report 'unknown' "$T/r.json"
has out 'unknown: says why' 'UNKNOWN: .*'
t 'usage: no eps' 1 robust "$T/fc.qir" -i "$T/all.bin"
t 'usage: no input' 1 robust "$T/fc.qir" --eps 1
t 'usage: two distances' 1 robust "$T/fc.qir" -i "$T/all.bin" --eps 1 --eps-real 1
t 'usage: negative' 1 robust "$T/fc.qir" -i "$T/all.bin" --eps -1
t 'usage: not a number' 1 robust "$T/fc.qir" -i "$T/all.bin" --eps-real 1/0
for bad in 65536 3:1 a 1, 1-2 :3 ''; do t "usage: --index '$bad'" 1 robust "$T/fc.qir" -i "$T/all.bin" --eps 1 --index "$bad"; done
t 'usage: engine' 1 robust "$T/fc.qir" -i "$T/all.bin" --eps 1 --engine bmb
has err 'usage: engine: hint' "did you mean 'bnb'"
t 'usage: timeout' 1 robust "$T/fc.qir" -i "$T/all.bin" --eps 1 --timeout -3
t 'usage: patch without picture' 1 robust "$T/fc.qir" -i "$T/all.bin" --eps 1 --patch 1x1
t 'usage: label and labels' 1 robust "$T/fc.qir" -i "$T/all.bin" --eps 1 --label 1 --labels "$T/y.txt"
t 'usage: label out of range' 1 robust "$T/fc.qir" -i "$T/all.bin" --eps 1 --label 2
t 'usage: top and margin' 1 robust "$T/fc.qir" -i "$T/all.bin" --eps 1 --top 1 --margin 3
t 'input missing: 2' 2 robust "$T/fc.qir" -i "$T/none.bin" --eps 1
t 'input of another size: 2' 2 robust "$T/fc.qir" -i "$T/fc.qir" --eps 1
printf '1 0' >"$T/l.txt"
t 'wrong number of labels: 2' 2 robust "$T/fc.qir" -i "$T/all.bin" --eps 1 --labels "$T/l.txt"
printf ab >"$T/ab"
t 'no scale, real distance: 3' 3 robust "$T/two.qir" -i "$T/ab" -i "$T/ab" --eps-real 1 --label 0 --output 1
t 'vacuous: 5' 5 robust "$T/fc.qir" -i "$T/all.bin" --index 0 --eps 1 --top 2
has out 'vacuous: said' 'UNKNOWN: vacuous'
hasnt out 'vacuous: not verified' 'VERIFIED'

if [ -e /dev/full ]; then
  for c in 'robust --eps 1' 'radius --max-eps 1'; do
    set -- $c
    "$QVERIFY" "$1" "$T/fc.qir" -i "$T/all.bin" --index 65535 "$2" "$3" >/dev/full 2>"$T/err"
    check "$1: a result that cannot be written: 6" test $? = 6
  done
fi
t 'witness folder in the way: 6' 6 robust "$T/fc.qir" -i "$T/all.bin" --index 0 --eps 60 --witness "$T/fc.qir" --json "$T/r.json"
check 'witness folder in the way: the report claims nothing' test "$(json "$T/r.json" verdict)" = UNKNOWN

# a sample that the net gets wrong is its own counterexample
cls=$(awk 'NR == 1 { print ($2 > $1) }' "$T/y.txt")
t 'misclassified' 10 robust "$T/fc.qir" -i "$T/all.bin" --index 0 --eps 0 --label $((1 - cls)) --witness "$T/mis"
has out 'misclassified: by replay' "class $((1 - cls)): FALSIFIED -> $cls by replay"
check 'misclassified: the witness is the sample' test "$(tail -c 2 "$T/mis/0_input0.npy" | od -An -tu1 | tr -d ' ')" = 00

# ---- kinds of questions ----------------------------------------------------------------------------------------------------------------
t 'brightness' 0 robust "$T/fc.qir" -i "$T/all.bin" --index 65535 --brightness 9
has out 'brightness: enumerated' 'VERIFIED by (enumeration|interval|linear)'
t 'contrast' 0 robust "$T/fc.qir" -i "$T/all.bin" --index 65535 --contrast 0.1
t 'contrast out of range' 5 robust "$T/fc.qir" -i "$T/all.bin" --index 65535 --contrast 1.5
printf '\000\001' >"$T/mask.bin"
t 'mask: only the second element moves' 0 robust "$T/fc.qir" -i "$T/all.bin" --index 65535 --mask "$T/mask.bin" --eps 200 --certificate "$T/mc"
check 'mask: the box' sh -c "sed -n 4,5p '$T/mc/65535.qvp' | tr '\n' ' ' | grep -qx '255 255 55 255 '"
t 'mask of another size' 2 robust "$T/fc.qir" -i "$T/all.bin" --mask "$T/fc.qir" --eps 2
t 'real distance: 3/256 are three steps of 1/256' 0 robust "$T/fc.qir" -i "$T/all.bin" --index 65535 --eps-real 3/256 --certificate "$T/mr"
check 'real distance: the box' sh -c "sed -n 4,5p '$T/mr/65535.qvp' | tr '\n' ' ' | grep -qx '252 255 252 255 '"
printf 'violations 1\nviolation 1\nge 100 1 1 0 0\n' >"$T/cond"
t 'condition' 0 robust "$T/fc.qir" -i "$T/all.bin" --index 65535 --eps 1 --condition "$T/cond"
printf 'violations 1\nviolation 1\nge -128 1 1 0 0\n' >"$T/cond"
t 'condition: refuted' 10 robust "$T/fc.qir" -i "$T/all.bin" --index 65535 --eps 1 --condition "$T/cond"
has out 'condition: which' 'violation 0 by'
printf 'violations 0\n' >"$T/cond"
t 'condition: bad file' 2 robust "$T/fc.qir" -i "$T/all.bin" --index 65535 --eps 1 --condition "$T/cond"
has err 'condition: line' 'cond: line 1'
t 'property file' 0 robust "$T/fc.qir" --property "$T/mr/65535.qvp" --json "$T/r.json"
valid_report 'property file' "$T/r.json"
t 'a counterexample, kept' 10 robust "$T/fc.qir" -i "$T/all.bin" --index 0 --eps 60 --certificate "$T/mf"
t 'property file: falsified' 10 robust "$T/fc.qir" --property "$T/mf/0.qvp" --witness "$T/pw" --json "$T/r.json"
valid_report 'property file: falsified' "$T/r.json"
t 'property file: falsified: the witness runs' 0 run "$T/fc.qir" -i "$T/pw/property_input0.npy" -o "$T/w.bin"
printf 'qvp 1\nclaim robust\ninput 0 points 3\n255 255\n254 255\n0 0\nkeep first 1 output 0\nend\n' >"$T/points.qvp"
t 'property file: points' "$([ "$(truth 0 0 0 first '')" = VERIFIED ] && awk 'NR == 1 { print ($2 > $1) ? 0 : 10 }' "$T/y.txt")" robust "$T/fc.qir" --property "$T/points.qvp"
t 'property file with samples' 1 robust "$T/fc.qir" --property "$T/mr/65535.qvp" -i "$T/all.bin"
printf 'qvp 1\nclaim overflow\nacc-bits 0\ninput 0 all\nend\n' >"$T/ov.qvp"
t 'property file about overflow' 2 robust "$T/fc.qir" --property "$T/ov.qvp"
t 'robustness property for overflow' 2 overflow "$T/fc.qir" --domain "$T/mr/65535.qvp"
t 'SMT-LIB' 0 robust "$T/fc.qir" -i "$T/all.bin" --index 65535 --eps 1 --smtlib "$T/q.smt2"
check 'SMT-LIB: it is' grep -q '(check-sat)' "$T/q.smt2"
for e in interval enumerate; do t "engine $e" 0 robust "$T/fc.qir" -i "$T/all.bin" --index 65535 --eps 1 --engine $e; done
"$QVERIFY" robust "$T/fc.qir" -i "$T/all.bin" --index 65535 --eps 1 --engine smt >"$T/out" 2>"$T/err"
rc=$?
if ((rc == 3)); then skip 'engine smt: not installed'; else
  check 'engine smt: its word alone verifies nothing' test $rc = 5
  has out 'engine smt: said' 'without evidence'
  t 'cross-check' 0 robust "$T/fc.qir" -i "$T/all.bin" --index 65535 --eps 1 --cross-check
  has out 'cross-check: agrees' 'z3 (agrees|not needed)'
  t 'cross-check: report' 10 robust "$T/fc.qir" -i "$T/all.bin" --index 65535,0 --eps 60 --cross-check --json "$T/r.json"
  has out 'cross-check: z3 itself' 'FALSIFIED .*z3 agrees'
  valid_report 'cross-check' "$T/r.json"
  t 'engine smt: counterexample' 10 robust "$T/fc.qir" -i "$T/all.bin" --index 0 --eps 60 --engine smt
fi

# a solver that lies: unsat for everything. Found under the name of the real one.
mkdir -p "$T/liar"
cat >"$T/liar.c" <<'END'
void Z3_global_param_set(const char *a, const char *b) { (void)a; (void)b; }
const char *Z3_get_full_version(void) { return "Z3 0.0.0"; }
void *Z3_mk_config(void) { return 0; }
void *Z3_mk_context(void *c) { return c; }
void Z3_set_error_handler(void *c, void *h) { (void)c; (void)h; }
const char *Z3_eval_smtlib2_string(void *c, const char *s) { (void)c; (void)s; return "unsat\n"; }
END
if gcc -shared -fPIC -o "$T/liar/libz3.so.4" "$T/liar.c" 2>/dev/null; then
  export LD_LIBRARY_PATH=$T/liar
  t 'cross-check: a lying solver' 6 robust "$T/fc.qir" -i "$T/all.bin" --index 0 --eps 60 --cross-check --certificate "$T/dis" --json "$T/r.json"
  has err 'cross-check: a lying solver: said' 'engines disagree about question 0'
  for f in qir qvp smt2; do check "cross-check: a lying solver: $f kept" test -s "$T/dis/disagreement-0.$f"; done
  check 'cross-check: a lying solver: the report claims nothing' test "$(json "$T/r.json" verdict)" = UNKNOWN
  t 'cross-check: a lying solver verifies nothing' 5 robust "$T/fc.qir" -i "$T/all.bin" --index 0 --eps 60 --engine smt
  unset LD_LIBRARY_PATH
else skip 'SKIPPED: no compiler for a lying solver'; fi

# ---- evidence ------------------------------------------------------------------------------------------------------------------------------
t 'certificates' 10 robust "$T/fc.qir" -i "$T/all.bin" --index 0,65535 --eps 60 --certificate "$T/certs"
for i in 0 65535; do
  check "certificate $i: accepted" "$CHECK" "$T/certs/net.qir" "$T/certs/$i.qvp" "$T/certs/$i.qvc"
  sed 's/^\(ge\|[0-9]\+\) /\19 /;5s/.*/0 255/' "$T/certs/$i.qvp" >"$T/other.qvp"
  if "$CHECK" "$T/certs/net.qir" "$T/other.qvp" "$T/certs/$i.qvc" >/dev/null 2>&1; then not_ok "certificate $i: accepted for another property"; else ok "certificate $i: not for another property"; fi
done
t 'check: a counterexample, net.qir beside it' 10 check "$T/certs/0.qvc"
t 'check: a proof' 0 check "$T/mr/65535.qvc"
t 'check: a certificate of another question' 6 check "$T/mr/65535.qvc" --property "$T/mc/65535.qvp"

mkdir "$T/bin"
cp "$QVERIFY" "$T/bin/qverify"
real=$QVERIFY
QVERIFY=$T/bin/qverify
fake() { # name, shell script
  printf '#!/bin/sh\n%s\n' "$2" >"$T/bin/qverify-check"
  chmod +x "$T/bin/qverify-check"
  t "checker: $1" "${3:-6}" robust "$T/fc.qir" -i "$T/all.bin" --index 65535 --eps 3 --timeout 2 --json "$T/r.json"
  check "checker: $1: the report claims nothing" test "$(json "$T/r.json" verdict)" = UNKNOWN
}
fake 'silent success' 'exit 0'
fake 'right words, wrong exit code' 'echo "c verdict verified"; echo "s CHECKED"; exit 1'
fake 'accepts a trusted one' 'echo "c verdict trusted 1"; echo "s CHECKED"; exit 0'
fake 'accepts a counterexample' 'echo "c verdict falsified"; echo "s CHECKED"; exit 0'
fake 'words after the verdict' 'echo "c verdict verified"; echo "s CHECKED"; echo more; exit 0'
fake 'rejects' 'echo "s REJECTED"; exit 1'
fake 'killed' 'kill -9 $$'
begin=$SECONDS
fake 'hangs' 'exec sleep 60' 5
check 'checker: hangs: it is not waited for' test $((SECONDS - begin)) -lt 30
rm "$T/bin/qverify-check"
t 'checker: off' 0 robust "$T/fc.qir" -i "$T/all.bin" --index 65535 --eps 3 --no-check --json "$T/r.json"
has out 'checker: off: said' 'NOT independently checked'
check 'checker: off: so does the report' grep -q '"independently_checked": false' "$T/r.json"
QVERIFY=$real

# ---- threads and journal ---------------------------------------------------------------------------------------------------------------------
lines() { sed -E 's/, [0-9.]+ s$//; s/ in [0-9.]+ s.*//' "$T/out"; }
obligations() { sed -n '/"obligations"/,/^  \],/p' "$1"; }
LONG=(robust "$T/fc.qir" -i "$T/all.bin" --index 0:255,65000:65200 --eps 4 --steps 200)
t 'one thread' 10 "${LONG[@]}" -t 1 --json "$T/one.json"
lines >"$T/one.txt"
t 'four threads' 10 "${LONG[@]}" -t 4 --json "$T/four.json"
lines >"$T/four.txt"
check 'threads: the same answers in the same order' cmp "$T/one.txt" "$T/four.txt"
check 'threads: the same obligations' cmp <(obligations "$T/one.json") <(obligations "$T/four.json")
killed=0
for i in 1 2 3 4 5 6; do
  "$QVERIFY" "${LONG[@]}" --resume "$T/j" --json "$T/k.json" >/dev/null 2>&1 &
  pid=$!
  while ((i == 1)) && [ ! -s "$T/k.json" ] && kill -0 $pid 2>/dev/null; do sleep 0.01; done # the first dies early, but not before it began
  sleep "0.$((i == 1 ? 0 : RANDOM % 4))$((RANDOM % 10))"
  kill -9 $pid 2>/dev/null && killed=$((killed + 1))
  wait $pid 2>/dev/null
  if ((i == 1)); then check 'killed: the report claims nothing' test "$(json "$T/k.json" run_state)" = INCOMPLETE; fi
  printf 'half a li' >>"$T/j" # what a torn write leaves
done
t 'resumed' 10 "${LONG[@]}" --resume "$T/j" --json "$T/k.json"
if ((killed > 0)); then ok "killed $killed times"; else skip 'killed: every run was faster'; fi
check 'resumed: the same obligations as without interruption' cmp <(obligations "$T/one.json") <(obligations "$T/k.json")
valid_report 'resumed' "$T/k.json"
before=$(wc -l <"$T/j")
t 'resumed once more' 10 "${LONG[@]}" --resume "$T/j" --json "$T/k.json"
check 'resumed once more: nothing was searched again' test "$before" = "$(wc -l <"$T/j")"
has out 'resumed once more: said' '457 searched by an earlier run'
t 'resumed: other options' 0 robust "$T/fc.qir" -i "$T/all.bin" --index 65200 --eps 4 --steps 201 --resume "$T/j"
hasnt out 'resumed: other options are other questions' 'earlier run'
t 'resumed: the same options' 0 robust "$T/fc.qir" -i "$T/all.bin" --index 65200 --eps 4 --steps 200 --resume "$T/j"
has out 'resumed: the same options are the same question' '1 searched by an earlier run'
t 'journal of another net' 2 robust "$T/two.qir" -i "$T/ab" -i "$T/ab" --eps 1 --label 0 --resume "$T/j"
has err 'journal of another net: said' 'another net'
printf 'hello\n' >"$T/nj"
t 'no journal' 2 "${LONG[@]}" --resume "$T/nj"

# forged journals: wrong sums, and right sums over wrong claims
J=(robust "$T/fc.qir" -i "$T/all.bin" --index 65535,0 --eps 60 --steps 100)
t 'journal of two' 10 "${J[@]}" --resume "$T/j2"
sign() { # fields before the sum on stdin, tab at the end cut off
  local l
  IFS= read -r l
  printf '%s\t%s\n' "$l" "$(printf '%s' "$l" | sha256sum | cut -d' ' -f1)"
}
forge() { # name, sed script on the fields of line 2 or 3
  cp -r "$T/j2" "$T/jf"
  rm -rf "$T/jf.d" && cp -r "$T/j2.d" "$T/jf.d"
  { head -n 1 "$T/j2"; tail -n +2 "$T/j2" | while IFS= read -r l; do printf '%s\n' "${l%$'\t'*}" | sed "$2" | sign; done; } >"$T/jf"
  t "forged: $1" "${3:-2}" "${J[@]}" --resume "$T/jf" --json "$T/r.json"
  check "forged: $1: the report claims nothing" test "$(json "$T/r.json" verdict)" = UNKNOWN
}
sed '2s/VERIFIED/FALSIFIED/;2s/FALSFALSIFIED/VERIFIED/' "$T/j2" >"$T/jf"
mkdir -p "$T/jf.d"
t 'forged: a word' 2 "${J[@]}" --resume "$T/jf"
forge 'falsified becomes verified' 's/\tFALSIFIED\t/\tVERIFIED\t/' 6
forge 'the witness' 's/\t0,[0-9]*\t/\t0,0\t/; s/\t[0-9]*,[0-9]*\t/\t0,0\t/'
far=$(awk '{ k = $2 > $1 } NR == 1 { c = k } k != c && NR > 256 * 61 { print int((NR - 1) / 256) "," (NR - 1) % 256; exit }' "$T/y.txt")
forge "a witness outside the set ($far)" "s/\t[0-9]*,[0-9]*\t/\t$far\t/"
forge 'the hash of the certificate' 's/\t[0-9a-f]\{60\}\([0-9a-f]\{4\}\)\t/\tffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff\1\t/'
for c in "$T"/j2.d/*.qvc; do sed -i 's/^goals outputs/goals logits/; s/^witness/witnesss/' "$c"; done
t 'forged: the certificates' 2 "${J[@]}" --resume "$T/j2"
rm "$T"/j2.d/*.qvc
t 'certificates gone' 2 "${J[@]}" --resume "$T/j2"

# ---- radius -----------------------------------------------------------------------------------------------------------------------------------
wrong=0
for s in '0 0' '3 0' '10 10' '200 3' '255 255' '60 40'; do
  set -- $s
  got=$("$QVERIFY" radius "$T/fc.qir" -i "$T/all.bin" --index $((256 * $1 + $2)) | head -n 1)
  r=$(sed -nE 's/.*VERIFIED up to ([0-9]+).*/\1/p' <<<"$got")
  if [ "$(truth "$1" "$2" "${r:-0}" first '')" != VERIFIED ]; then wrong=$((wrong + 1)) && echo "  $s: $got"; fi
  if [ "${r:-0}" != 255 ] && [ "$(truth "$1" "$2" $((r + 1)) first '')" != FALSIFIED ]; then wrong=$((wrong + 1)) && echo "  $s: $got"; fi
done
if ((wrong == 0)); then ok 'radii agree with all inputs'; else not_ok "$wrong radii are wrong"; fi
# A required radius: as --eps of it says, which is compared with all inputs above.
for s in '0 0' '3 0' '10 10' '200 3' '60 40'; do
  set -- $s
  for r in 0 1 2 9 200; do
    want=$(truth "$1" "$2" $r first '')
    t "radius $r of $s: $want" "$([ "$want" = VERIFIED ] && echo 0 || echo 10)" radius "$T/fc.qir" -i "$T/all.bin" --index $((256 * $1 + $2)) --at-least $r --json "$T/radius.json"
    has out "radius $r of $s: said" "^$want: radius $r "
  done
done
valid_report 'a required radius' "$T/radius.json"
check 'a required radius: in the report' grep -q '"required": "200"' "$T/radius.json"
t 'radius: required beyond what is asked: 1' 1 radius "$T/fc.qir" -i "$T/all.bin" --index 0 --at-least 10 --max-eps 9
t 'radius: required, open: 5' 5 radius "$T/fc.qir" -i "$T/all.bin" --index 65535 --engine attack --at-least 1
t 'radius: report on standard output' 0 radius "$T/fc.qir" -i "$T/all.bin" --index 0:3 --json -
cp "$T/out" "$T/radius.json"
valid_report 'radii' "$T/radius.json"
t 'radius: exact: 0' 0 radius "$T/fc.qir" -i "$T/all.bin" --index 0:3 --certificate "$T/rc" --witness "$T/rw"
has out 'radius: conclusion' '^4 of 4 radii exact'
t 'radius: vacuous: 5' 5 radius "$T/fc.qir" -i "$T/all.bin" --index 0 --top 2
has out 'radius: vacuous: said' 'vacuous'
t 'radius: open: 5' 5 radius "$T/fc.qir" -i "$T/all.bin" --index 0 --engine attack

# ---- pictures, real nets ----------------------------------------------------------------------------------------------------------------------
D=${QV_DATA:-../shared/data}
NET=$D/verif/int_nets/P1-6.qtxt IMG=$D/data/mnist/t10k-images-idx3-ubyte.gz
if [ ! -r "$NET" ] || [ ! -r "$IMG" ]; then skip 'SKIPPED: MNIST nets are not here'; else
  t 'MNIST' 10 robust "$NET" -i "$IMG" -l "$D/data/mnist/t10k-labels-idx1-ubyte.gz" --index 0:4,18,115 --eps 2 --witness "$T/mw"
  has out 'MNIST: counts' '^5 verified, 2 falsified, 0 unknown of 7 '
  for p in original adversarial difference; do check "MNIST: $p picture" sh -c "head -c 29 '$T/mw/115_$p.png' | od -An -v -tx1 | tr -d ' \n' | grep -q '^89504e470d0a1a0a0000000d494844520000001c0000001c0800000000'"; done
  t 'MNIST: one patch' 0 robust "$NET" -i "$IMG" --index 0 --eps 255 --patch 1x2@0,3 --certificate "$T/mp"
  check 'MNIST: one patch: two pixels move, row 0, columns 3 and 4' sh -c "sed -n '4,\$p' '$T/mp/0-patch-0-3.qvp' | awk '\$1 != \$2 && NF == 2 { printf \"%d \", NR - 1 }' | grep -qx '3 4 '"
  t 'MNIST: patches everywhere' 0 robust "$NET" -i "$IMG" --index 0 --eps 8 --patch 27x27 --json "$T/r.json"
  has out 'MNIST: patches: four places' '^4 verified'
  valid_report 'MNIST: patches' "$T/r.json"
  t 'MNIST: patch too large' 1 robust "$NET" -i "$IMG" --index 0 --eps 8 --patch 29x1
  t 'MNIST: time limit' 5 robust "$NET" -i "$IMG" --index 0 --eps 12 --timeout 1
  has out 'MNIST: time limit: within half a second' ' in 1\.[0-4][0-9] s \('
  has out 'MNIST: time limit: how near' 'margin -[0-9.e+]+ \(rounding [0-9]+ %, clamps [0-9]+ %\)'
fi
finish
