# Acceptance tests of the program from outside that no other script has: tests/README.md says which test stands for which demand.
. "$(dirname "$0")/lib.sh"
CHECK=${QVERIFY%/*}/qverify-check
fc_model >"$T/fc.qir"
all_pairs >"$T/all.bin"
S=$ROOT/examples/shapes

# ---- 1: JSON. A manifest is read strictly, and integers survive in both directions ------------------------------------------------------------
manifest() { # FILE, members of the obligation, [what stands behind the object]
  printf '{"format":"qverify-ci/1","models":{"m":{"path":"%s"}},"obligations":[{"id":"a","check":"overflow","model":"m"%s}]}%s\n' "$T/fc.qir" "$2" "${3:-}" >"$1"
}
manifest "$T/j.json" ',"seconds":9007199254740993'
t '1: an integer beyond 2^53 is refused, not rounded' 2 plan "$T/j.json" -o "$T/j.out"
manifest "$T/j.json" ',"memory_mb":3000000000'
t '1: 3000000000 does not become 2147483647' 2 plan "$T/j.json" -o "$T/j.out"
manifest "$T/j.json" ',"seconds":007'
t '1: leading zeros' 2 plan "$T/j.json" -o "$T/j.out"
manifest "$T/j.json" ',"seconds":1,"seconds":2'
t '1: a key twice' 2 plan "$T/j.json" -o "$T/j.out"
manifest "$T/j.json" '' ' x'
t '1: text behind the object' 2 plan "$T/j.json" -o "$T/j.out"
manifest "$T/j.json" ',"Seconds":1'
t '1: "Seconds" is not "seconds"' 2 plan "$T/j.json" -o "$T/j.out"
manifest "$T/j.json" ',"seconds":1.0'
t '1: 1.0 is no integer' 2 plan "$T/j.json" -o "$T/j.out"

# ---- 5: nothing selected, and nothing left over from an earlier run ------------------------------------------------------------------------------
manifest "$T/m.json" ''
for c in ci work; do
  if [ $c = ci ]; then
    t '5: a filter that matches nothing' 5 ci --manifest "$T/m.json" --only 'zzz*' --results "$T/none" --json "$T/none.json" --junit "$T/none.xml" --sarif "$T/none.sarif" --intoto "$T/none.intoto"
    check '5: said in the report' grep -q '"run_state": "NOTHING_SELECTED"' "$T/none.json"
    check '5: in-toto does not pass' grep -q '"result": "FAILED"' "$T/none.intoto"
  else
    t '5: a plan of nothing' 5 plan "$T/m.json" --tag nobody -o "$T/none.jsonl"
    t '5: its merge' 5 merge "$T/none.jsonl" --results "$T/none"
  fi
done
t '5: a good run leaves a report' 0 ci --manifest "$T/m.json" --results "$T/r" --json "$T/stale.json"
check '5: COMPLETE' grep -q '"run_state": "COMPLETE"' "$T/stale.json"
cat >"$T/long.json" <<EOM
{"format":"qverify-ci/1","models":{"m":{"path":"$S/shapes.tflite"}},"obligations":[
 {"id":"long","check":"robust","model":"m","input":"$S/test_images.npy","labels":"$S/test_labels.txt","index":"0","eps":3,"engine":"bnb","timeout":60}]}
EOM
"$QVERIFY" ci --manifest "$T/long.json" --results "$T/r" --json "$T/stale.json" >/dev/null 2>&1 &
pid=$!
for i in $(seq 200); do grep -q COMPLETE "$T/stale.json" && ! grep -q '"COMPLETE"' "$T/stale.json" && break; sleep 0.05; done
kill -9 $pid
wait $pid 2>/dev/null
check '5: killed, the old report does not stand' grep -q '"run_state": "INCOMPLETE"' "$T/stale.json"

# ---- 7: counterexamples. The input that refutes is in the box, and what is one step outside refutes nothing ---------------------------------------
"$QVERIFY" robust "$T/fc.qir" -i "$T/all.bin" --index 0 --eps 60 --certificate "$T/c" >/dev/null 2>&1
w=$(sed -n 's/^input 0 //p' "$T/c/0.qvc")
check '7: the checker accepts the counterexample' sh -c "'$CHECK' '$T/c/net.qir' '$T/c/0.qvp' '$T/c/0.qvc' | grep -q 'verdict falsified'"
# the same input against a box that ends one step before it: every hash right
x0=${w% *} x1=${w#* }
box() { # lo0 hi0 lo1 hi1: property and witness certificate
  awk -v a="$1 $2" -v b="$3 $4" '/^input 0/ { print "input 0 elements 2"; print a; print b; getline; if ($0 !~ /^keep|^viol/) { getline; getline } } { print }' "$T/c/0.qvp" >"$T/box.qvp"
  { printf 'qvc 1\nclaim robust\nnet %s\nproperty %s\nwitness\ninput 0 %s\nverdict falsified\n' "$(sha256sum <"$T/c/net.qir" | cut -c1-64)" "$(sha256sum <"$T/box.qvp" | cut -c1-64)" "$w"; } >"$T/box.qvc"
  printf 'sha256 %s\n' "$(sha256sum <"$T/box.qvc" | cut -c1-64)" >>"$T/box.qvc"
}
box "$x0" 255 "$x1" 255
check '7: in the corner of a box: accepted' sh -c "'$CHECK' '$T/c/net.qir' '$T/box.qvp' '$T/box.qvc' | grep -q 's CHECKED'"
if ((x0 < 255)); then
  box $((x0 + 1)) 255 0 255
  check '7: one step outside: rejected' sh -c "! '$CHECK' '$T/c/net.qir' '$T/box.qvp' '$T/box.qvc' | grep -q 's CHECKED'"
fi
if ((x1 > 0)); then
  box 0 255 0 $((x1 - 1))
  check '7: one step outside on the other side: rejected' sh -c "! '$CHECK' '$T/c/net.qir' '$T/box.qvp' '$T/box.qvc' | grep -q 's CHECKED'"
fi

# ---- 9: u8 times s8 in pairs of int16 ---------------------------------------------------------------------------------------------------------------
pair() { sed -e 's/^b -10 20/b 0 0/' -e "s/^1 -2\$/$1 $1/" -e 's/^30 127$/0 0/' "$T/fc.qir"; }
pair 127 >"$T/127.qir"
pair 64 >"$T/64.qir"
t '9: 255*127 + 255*127 = 64770 in 32 bits' 0 overflow "$T/127.qir"
t '9: .. does not fit a pair of 16 bits' 10 audit "$T/127.qir" --kernel avx2-u8s8
t '9: 255*64 + 255*64 = 32640 does' 0 audit "$T/64.qir" --kernel avx2-u8s8

# ---- 11: what is open is never a pass, in any format -----------------------------------------------------------------------------------------------
sed -i 's/"timeout":60/"timeout":1/' "$T/long.json"
t '11: an open question' 5 ci --manifest "$T/long.json" --results "$T/o" --json "$T/o.json" --junit "$T/o.xml" --sarif "$T/o.sarif" --intoto "$T/o.intoto"
check '11: SARIF: open, level none' sh -c "grep -q '\"kind\": \"open\"' '$T/o.sarif' && grep -q '\"level\": \"none\"' '$T/o.sarif' && ! grep -q '\"kind\": \"pass\"' '$T/o.sarif'"
check '11: JUnit: an error, not skipped' sh -c "grep -q 'failures=\"0\" errors=\"1\" skipped=\"0\"' '$T/o.xml' && grep -q '<error ' '$T/o.xml'"
check '11: in-toto: among the failed, result FAILED' sh -c "tr -d ' \n' <'$T/o.intoto' | grep -q '\"failedTests\":\\[\"long\"\\],\"passedTests\":\\[\\],\"result\":\"FAILED\"'"

# ---- 12: one byte of the model --------------------------------------------------------------------------------------------------------------------------
"$QVERIFY" overflow "$T/fc.qir" --certificate "$T/k.qvc" >/dev/null 2>&1
check '12: as it is: accepted' sh -c "'$CHECK' '$T/k.qir' - '$T/k.qvc' | grep -q 's CHECKED'"
n=0 accepted=0
for f in qir qvc; do
  size=$(stat -c %s "$T/k.$f")
  for at in $(seq 0 $((size / 25 + 1)) $((size - 1))); do
    cp "$T/k.qir" "$T/l.qir"
    cp "$T/k.qvc" "$T/l.qvc"
    byte=$(od -An -tu1 -j "$at" -N 1 "$T/k.$f")
    printf "\\x$(printf %x $((byte ^ 1)))" | dd of="$T/l.$f" bs=1 seek="$at" conv=notrunc 2>/dev/null
    "$CHECK" "$T/l.qir" - "$T/l.qvc" >/dev/null 2>&1 && accepted=$((accepted + 1))
    n=$((n + 1))
  done
done
if ((n > 30 && accepted == 0)); then ok "12: none of $n changed bytes of net or certificate is accepted"; else not_ok "12: $accepted of $n changed bytes accepted"; fi

# ---- 14: cut off and garbled files: exit 2, no crash, bounded memory ------------------------------------------------------------------------------------
n=0 wrong=0
limit=$([ "$MODE" = san ] && echo unlimited || echo 2000000)
for f in "$S/shapes.tflite" tests/corpus/onnx/qdq_conv.onnx "$S/test_images.npy"; do
  size=$(stat -c %s "$f")
  for cut in 0 1 7 $((size / 3)) $((size / 2)) $((size - 1)); do
    head -c "$cut" "$f" >"$T/cut.${f##*.}"
    case $f in
    *.npy) set -- run "$S/shapes.tflite" --input "$T/cut.npy" --output "$T/y.npy" ;;
    *) set -- info "$T/cut.${f##*.}" ;;
    esac
    (
      ulimit -v "$limit"
      exec "$QVERIFY" "$@"
    ) >/dev/null 2>"$T/err"
    rc=$?
    n=$((n + 1))
    # (behind the last byte that a TFLite file uses there may be padding)
    if { [ $rc != 2 ] && ! { [ $rc = 0 ] && [[ $f == *.tflite ]] && [ "$cut" = $((size - 1)) ]; }; } || grep -qaE 'Sanitizer|runtime error' "$T/err"; then
      wrong=$((wrong + 1))
      echo "  $f cut at $cut: exit $rc"
    fi
  done
done
if ((wrong == 0)); then ok "14: $n cut files: refused without a crash"; else not_ok "14: $wrong of $n cut files"; fi
finish
