# Part of run.sh: certificates of allocation, docs/allocation-certificate.md. Stored random ones, the document's example, and forged ones.
for c in tests/check/cases/*.qva; do expect "accepts $(basename "$c")" 0 's CHECKED' alloc "${c%.qva}.qap" "$c"; done

cat >"$dir/e.qap" <<'END'
qap 1
loss 1/3000
rows 2
row "size" 37 16/1
row "bops" - 500000/1
classes 0 0
groups 2
group "conv1" 2
cand "w8" 0 3 18 2
cand "w4" 0 1000 9 1
group "conv2" 2
cand "w8" 0 0 32 8
cand "w4" 0 60 16 4
pairs 0
end
END
qva() { # name, expected exit code, lines of the certificate (printf format), problem
  local qap=${4:-$dir/e.qap}
  { printf 'qva 1\nproblem %s\n' "$(hash_of "$qap")"; printf "$3"; } >"$dir/e.qva"
  printf 'sha256 %s\n' "$(hash_of "$dir/e.qva")" >>"$dir/e.qva"
  if [ "$2" = 0 ]; then expect "$1" 0 's CHECKED' alloc "$qap" "$dir/e.qva"; else expect "$1" "$2" 's REJECTED' alloc "$qap" "$dir/e.qva"; fi
}
vectors='mults 3\nmult 1 1 0 0 99\nmult 0 1 0 0 1\nmult 1 0 0\n'
lex='claim optimum lex\nchoice 63 0 1\nproof tree\n'
qva 'the example' 0 "$lex${vectors}reduce 0\nsplit 1 1 0\nbound 1\nbound 2\n"
if grep -qx 'c optimum 21/1000' "$dir/out"; then result 0 'its loss in the units of the table'; else result 1 'its loss in the units of the table'; fi
qva 'the bound alone is too small' 1 "$lex${vectors}bound 0\n"
qva 'without reduce, which is not needed here' 0 "$lex${vectors}split 1 1 0\nbound 1\nbound 2\n"
qva 'the first half left out' 1 "$lex${vectors}reduce 0\nsplit 1 1 0\nbound 1\n"
qva 'a line too many' 1 "$lex${vectors}reduce 0\nsplit 1 1 0\nbound 1\nbound 2\nbound 2\n"
qva 'the halves exchanged' 1 "$lex${vectors}reduce 0\nsplit 1 1 1\nbound 1\nbound 2\n"
qva 'a half with everything' 1 "$lex${vectors}reduce 0\nsplit 1 2 0 1\nbound 1\nbound 2\n"
qva 'a half with everything, done properly otherwise' 1 "$lex${vectors}reduce 0\nsplit 1 2 0 1\nsplit 1 1 0\nbound 1\nbound 2\nempty\n"
qva 'a half with a candidate that was removed' 1 "$lex${vectors}reduce 0\nsplit 0 1 1\nbound 1\nbound 2\n"
qva 'a multiplier for a row without limit' 1 "${lex}mults 1\nmult 1 1 0 1 1\nbound 0\n"
qva 'a negative multiplier' 1 "${lex}mults 1\nmult 1 1 0 0 -1\nbound 0\n"
qva 'a negative denominator' 1 "${lex}mults 1\nmult -1 0 0\nbound 0\n"
qva 'a vector that is not there' 1 "$lex${vectors}bound 3\n"
qva 'no vectors' 1 "${lex}mults 0\nbound 0\n"
qva 'called empty' 1 "$lex${vectors}empty\n"
qva 'a class without a class rule' 1 "$lex${vectors}class 1\nempty\nempty\n"
qva 'another loss' 1 "claim optimum lex\nchoice 62 0 1\nproof tree\n${vectors}reduce 0\nsplit 1 1 0\nbound 1\nbound 2\n"
qva 'a choice over the limit' 1 "claim optimum lex\nchoice 3 0 0\nproof tree\n${vectors}bound 2\n"
qva 'a choice that is worse' 1 "claim optimum lex\nchoice 1060 1 1\nproof tree\n${vectors}reduce 0\nsplit 1 1 0\nbound 1\nbound 2\n"
qva 'infeasible, which it is not' 1 "claim infeasible\nproof tree\nmults 1\nmult 0 1 0 0 1\nbound 0\n"
qva 'infeasible with a denominator' 1 'claim infeasible\nproof tree\nmults 1\nmult 1 1 0 0 1\nbound 0\n'
qva 'optimum by chain' 1 "claim optimum lex\nchoice 63 0 1\nproof chain\n${vectors}bound 0\n"
dp='front 2\n9 1000\n18 3\nfront 2\n25 1060\n34 63\n'
qva 'dp' 0 "claim optimum lex\nchoice 63 0 1\nproof dp 0\n$dp"
qva 'dp, by loss alone' 0 "claim optimum loss\nchoice 63 0 1\nproof dp 0\n$dp"
qva 'dp in a row without limit, while another binds' 1 "claim optimum loss\nchoice 63 0 1\nproof dp 1\n$dp"
qva 'dp, a pair left out' 1 "claim optimum lex\nchoice 1060 1 1\nproof dp 0\nfront 1\n9 1000\nfront 1\n25 1060\n"
qva 'dp, a pair too good' 1 'claim optimum lex\nchoice 63 0 1\nproof dp 0\nfront 2\n9 1000\n18 3\nfront 2\n25 1060\n34 62\n'
qva 'dp, not in order' 1 'claim optimum lex\nchoice 63 0 1\nproof dp 0\nfront 2\n18 3\n9 1000\nfront 2\n25 1060\n34 63\n'
qva 'dp, a front too few' 1 'claim optimum lex\nchoice 63 0 1\nproof dp 0\nfront 2\n9 1000\n18 3\n'
qva 'front by dp' 0 "claim front 0\npoints 2\nchoice 1060 1 1\nchoice 63 0 1\nproof dp 0\n$dp"
if grep -qx 'c front 2' "$dir/out"; then result 0 'points of the front'; else result 1 'points of the front'; fi
qva 'front, a point left out' 1 "claim front 0\npoints 1\nchoice 63 0 1\nproof dp 0\n$dp"
qva 'front, the points exchanged' 1 "claim front 0\npoints 2\nchoice 63 0 1\nchoice 1060 1 1\nproof dp 0\n$dp"
qva 'front by the dp of another row' 1 "claim front 1\npoints 1\nchoice 63 0 1\nproof dp 0\n$dp"
qva 'infeasible by dp' 1 "claim infeasible\nproof dp 0\n$dp"
sed 's/"size" 37/"size" 24/' "$dir/e.qap" >"$dir/i.qap"
qva 'infeasible' 0 'claim infeasible\nproof tree\nmults 1\nmult 0 1 0 0 1\nbound 0\n' "$dir/i.qap"
if grep -qx 'c infeasible' "$dir/out"; then result 0 'says so'; else result 1 'says so'; fi
qva 'infeasible without a reason' 1 'claim infeasible\nproof tree\nmults 1\nmult 0 0 0\nbound 0\n' "$dir/i.qap"
# Classes: at most one of two.
small() { # classes, a limit or -, lines of groups (printf format)
  printf "qap 1\nloss 1/1\nrows 1\nrow \"c\" $2 1/1\nclasses $1\n$3pairs 0\nend\n" >"$dir/s.qap"
}
small '2 1' - 'groups 2\ngroup "a" 2\ncand "" 1 0 0\ncand "" 2 10 0\ngroup "b" 2\ncand "" 2 0 0\ncand "" 1 10 0\n'
one='mults 1\nmult 1 0 0\n'
qva 'classes' 0 "claim optimum loss\nchoice 10 0 1\nproof tree\n${one}class 1\nbound 0\nbound 0\n" "$dir/s.qap"
qva 'classes: a choice of both' 1 "claim optimum loss\nchoice 0 0 0\nproof tree\n${one}bound 0\n" "$dir/s.qap"
qva 'classes: not asked about' 1 "claim optimum loss\nchoice 10 0 1\nproof tree\n${one}bound 0\n" "$dir/s.qap"
qva 'classes: asked twice' 1 "claim optimum loss\nchoice 10 0 1\nproof tree\n${one}class 1\nclass 1\nbound 0\nbound 0\nbound 0\n" "$dir/s.qap"
qva 'classes: a banned one' 1 "claim optimum loss\nchoice 10 0 1\nproof tree\n${one}class 1\nbound 0\nclass 2\nbound 0\nbound 0\n" "$dir/s.qap"
qva 'classes: no such class' 1 "claim optimum loss\nchoice 10 0 1\nproof tree\n${one}class 3\nbound 0\nbound 0\n" "$dir/s.qap"

# Keys: loss first, then cost.
small '0 0' 5 'groups 1\ngroup "a" 2\ncand "" 0 0 5\ncand "" 0 1 0\n'
qva 'lex: the lesser loss' 0 "claim optimum lex\nchoice 0 0\nproof tree\n${one}bound 0\n" "$dir/s.qap"
qva 'lex: the lesser cost' 1 "claim optimum lex\nchoice 1 1\nproof tree\n${one}bound 0\n" "$dir/s.qap"

# A chain: each tree's limit is the cost before, minus 1.
small '0 0' - 'groups 1\ngroup "a" 3\ncand "" 0 2 8\ncand "" 0 1 9\ncand "" 0 0 10\n'
two='mults 2\nmult 1 0 0\nmult 0 1 0 0 1\n'
none='mults 1\nmult 0 1 0 0 1\nbound 0\n'
chain="${one}bound 0\n${two}split 0 2 0 1\nbound 0\nbound 1\n${two}split 0 1 0\nbound 0\nbound 1\n$none"
qva 'chain' 0 "claim front 0\npoints 3\nchoice 2 0\nchoice 1 1\nchoice 0 2\nproof chain\n$chain" "$dir/s.qap"
qva 'chain without the last tree' 1 "claim front 0\npoints 3\nchoice 2 0\nchoice 1 1\nchoice 0 2\nproof chain\n${chain%"$none"}" "$dir/s.qap"
qva 'chain without the point between' 1 \
  "claim front 0\npoints 2\nchoice 2 0\nchoice 0 2\nproof chain\n${one}bound 0\n${two}split 0 1 0\nbound 0\nbound 1\n$none" "$dir/s.qap"
qva 'chain without the first point' 1 \
  "claim front 0\npoints 2\nchoice 1 1\nchoice 0 2\nproof chain\n${one}bound 0\n${two}split 0 2 0 1\nbound 0\nbound 1\n$none" "$dir/s.qap"
expect 'a certificate of another problem' 1 's REJECTED' alloc "$dir/e.qap" "$dir/e.qva"
expect 'no certificate' 1 's REJECTED' alloc "$dir/e.qap" /dev/null
expect 'no problem' 2 '' alloc /dev/null "$dir/e.qva"
for bad in 's/qap 1/qap 2/' 's/1\/3000/2\/6000/' 's/1\/3000/0\/1/' 's/classes 0 0/classes 1 1/' 's/"w8" 0 3/"w8" 1 3/' 's/37/037/' 's/"conv1" 2/"conv1" 0/' \
  's/pairs 0/pairs 1/' 's/ 18 2/ 18/' 's/end/end /' 's/groups 2/groups 3/' 's/37/-0/'; do
  sed "$bad" "$dir/e.qap" >"$dir/bad.qap"
  expect "no problem: $bad" 2 '' alloc "$dir/bad.qap" "$dir/e.qva"
done

# Numbers of the stored certificates changed, the hash repaired: what is claimed must stay the same, or be rejected.
wrong=0 tried=0
for c in tests/check/cases/*.qva; do
  n=$(wc -l <"$c")
  for ((i = 3; i < n; i++)); do
    for change in 's/\([0-9][0-9]*\)$/\11/' 's/ \([0-9]\)/ 1\1/' 's/ -\{0,1\}[0-9]*$//'; do
      sed -e "${i}$change" -e '$d' "$c" >"$dir/m.qva"
      if head -n -1 "$c" | cmp -s - "$dir/m.qva"; then continue; fi
      printf 'sha256 %s\n' "$(hash_of "$dir/m.qva")" >>"$dir/m.qva"
      tried=$((tried + 1))
      "$check" alloc "${c%.qva}.qap" "$dir/m.qva" >"$dir/out" 2>/dev/null || continue
      if ! "$check" alloc "${c%.qva}.qap" "$c" | cmp -s - "$dir/out"; then
        wrong=$((wrong + 1))
        echo "  $c, line $i: $change accepted"
      fi
    done
    if [ "${MUTANTS:-1}" = 0 ] && [ $i -gt 6 ]; then break; fi
  done
done
if [ $wrong = 0 ] && [ $tried -gt 50 ]; then result 0 "$tried changed numbers"; else result 1 "$tried changed numbers"; fi
