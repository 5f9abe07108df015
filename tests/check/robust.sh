# Part of run.sh: hand-made certificates of claim robust, docs/certificate.md section 7.

# The lines of a certificate on standard input, between the header and the own hash, become $dir/r.qvc for $dir/t.qir and $dir/r.qvp.
rcert() {
  {
    printf 'qvc 1\nclaim robust\nnet %s\nproperty %s\n' "$(hash_of "$dir/t.qir")" "$(hash_of "$dir/r.qvp")"
    cat
  } >"$dir/r.qvc"
  printf 'sha256 %s\n' "$(hash_of "$dir/r.qvc")" >>"$dir/r.qvc"
}
box() { # condition, then LO HI of each element of input 0
  local condition=$1
  shift
  {
    printf 'qvp 1\nclaim robust\ninput 0 elements %d\n' $(($# / 2))
    printf '%d %d\n' "$@"
    printf '%bend\n' "$condition"
  } >"$dir/r.qvp"
}
robust() { # name, expected exit code, lines of the certificate (printf format)
  printf "$3" | rcert
  if [ "$2" = 0 ]; then expect "$1" 0 's CHECKED' "$dir/t.qir" "$dir/r.qvp" "$dir/r.qvc"; else
    expect "$1" "$2" 's REJECTED' "$dir/t.qir" "$dir/r.qvp" "$dir/r.qvc"
  fi
}
both() { # accumulator, weights of both rows; bias 0, two inputs, two outputs
  printf 'node 0 affine op "" layer 0 in 1 0 out 1\nwindow n 1 ih 1 iw 1 ic 2 oh 1 ow 1 oc 2 kh 1 kw 1 sh 1 sw 1 dh 1 dw 1 pt 0 pl 0 groups 1\n'
  printf 'acc %s\nx_zp 0\nw_zp 1 0\nb 0 0\nw\n%d %d\n%d %d\n' "$1" "$2" "$3" "$4" "$5"
}
plain='wrap bits 16 order kernel bias last form corrected'
keep0='keep first 0 output 0\n'
goals='goals outputs\n'
end='verdict verified\n'

# y = x, and x1 may not exceed x0: for x0 in [5,6], x1 in [0,5] that is so, and just so.
both "$plain" 1 0 0 1 | net '1 2' 0 10 2 1
box "$keep0" 5 6 0 5
robust 'sum' 0 "${goals}target 1\ndual sum 1 1 0 0\n$end"
if grep -qx 'c verdict verified' "$dir/out"; then result 0 'verdict verified'; else result 1 'verdict verified'; fi
robust 'sum, twice the multiplier, another scale' 0 "${goals}target 1\ndual sum 1 2 7 0\n$end"
robust 'sum without its number' 1 "${goals}target 1\ndual sum 1 0 0\n$end"
robust 'sum with multiplier 0' 1 "${goals}target 1\ndual sum 1 0 0 0\n$end"
robust 'sum with a negative multiplier' 1 "${goals}target 1\ndual sum 1 -1 0 0\n$end"
robust 'sum, S as it would be' 0 "${goals}target 1\ndual sum 1 1 0 2 1 0 1 1 1 -1\n$end"
robust 'sum, S = 0 leaves the output interval' 0 "${goals}target 1\ndual sum 1 1 0 2 1 0 0 1 1 0\n$end"
robust 'sum, a multiplier with which the bound fails' 1 "${goals}target 1\ndual sum 1 1 0 1 1 0 2\n$end"
robust 'multipliers out of order' 1 "${goals}target 1\ndual sum 1 1 0 2 1 1 -1 1 0 1\n$end"
robust 'a multiplier twice' 1 "${goals}target 1\ndual sum 1 1 0 2 1 0 1 1 0 1\n$end"
robust 'a multiplier of an input' 1 "${goals}target 1\ndual sum 1 1 0 1 0 0 0\n$end"
robust 'a multiplier of no element' 1 "${goals}target 1\ndual sum 1 1 0 1 1 2 0\n$end"
robust 'a multiplier of 2^31' 1 "${goals}target 1\ndual sum 1 1 0 1 1 0 2147483648\n$end"
robust 'scale 31' 1 "${goals}target 1\ndual sum 1 1 31 0\n$end"
robust 'pair of sums' 0 "${goals}target 1\ndual pair 1 1 0 0\n$end"
robust 'pair of zeros' 1 "${goals}target 1\ndual pair 0 0 0 0\n$end"
robust 'empty: the outputs exclude it' 0 "${goals}target 1\nempty\n$end"
robust 'points' 0 "${goals}target 1\npoints\n$end"
robust 'enumerated' 0 "points\n$end"
robust 'enumerated, falsified' 1 'points\nverdict falsified\n'
robust 'trusted' 0 "${goals}target 1\ntrusted z3\nverdict trusted 1\n"
if grep -qx 'c verdict trusted 1' "$dir/out"; then result 0 'verdict trusted 1'; else result 1 'verdict trusted 1'; fi
robust 'trusted, called verified' 1 "${goals}target 1\ntrusted z3\n$end"
robust 'trusted, one too few' 1 "${goals}target 1\nsplit 0 0 5\ntrusted a\ntrusted b\nverdict trusted 1\n"
robust 'trusted, one too many' 1 "${goals}target 1\ntrusted a\nverdict trusted 2\n"
robust 'trusted 0' 1 "${goals}target 1\nempty\nverdict trusted 0\n"
robust 'trusted by nobody' 1 "${goals}target 1\ntrusted\nverdict trusted 1\n"
robust 'trusted by two words' 1 "${goals}target 1\ntrusted a b\nverdict trusted 1\n"
robust 'no target' 1 "$goals$end"
robust 'the wrong target' 1 "${goals}target 0\nempty\n$end"
robust 'a target twice' 1 "${goals}target 1\nempty\ntarget 1\nempty\n$end"
robust 'no goals' 1 "target 1\nempty\n$end"
robust 'logits without a tail' 1 "goals logits\ntarget 1\nempty\n$end"
robust 'falsified with a proof' 1 "${goals}target 1\nempty\nverdict falsified\n"
robust 'unknown' 1 "${goals}target 1\nempty\nverdict unknown\n"
robust 'a witness that violates nothing' 1 'witness\ninput 0 5 5\nverdict falsified\n'
robust 'a witness outside the box' 1 'witness\ninput 0 5 6\nverdict falsified\n'

# x1 up to 6: x = (5,6) violates.
box "$keep0" 5 6 0 6
robust 'false: sum' 1 "${goals}target 1\ndual sum 1 1 0 0\n$end"
robust 'false: pair' 1 "${goals}target 1\ndual pair 1 1 0 0\n$end"
robust 'false: empty' 1 "${goals}target 1\nempty\n$end"
robust 'false: points' 1 "${goals}target 1\npoints\n$end"
robust 'false: enumerated' 1 "points\n$end"
robust 'false: the other target' 1 "${goals}target 0\nempty\n$end"
robust 'witness' 0 'witness\ninput 0 5 6\nverdict falsified\n'
if grep -qx 'c verdict falsified' "$dir/out"; then result 0 'verdict falsified'; else result 1 'verdict falsified'; fi
robust 'witness, called verified' 1 "witness\ninput 0 5 6\n$end"
robust 'witness with an element too few' 1 'witness\ninput 0 5\nverdict falsified\n'
robust 'witness with an element too many' 1 'witness\ninput 0 5 6 6\nverdict falsified\n'
robust 'witness for another input' 1 'witness\ninput 1 5 6\nverdict falsified\n'
robust 'witness, not violating' 1 'witness\ninput 0 6 6\nverdict falsified\n'
robust 'split: one half is false' 1 "${goals}target 1\nsplit 0 1 5\ndual sum 1 1 0 0\ndual sum 1 1 0 0\n$end"
robust 'split: the false half left out' 1 "${goals}target 1\nsplit 0 1 5\ndual sum 1 1 0 0\n$end"
robust 'split: the false half called empty' 1 "${goals}target 1\nsplit 0 1 5\ndual sum 1 1 0 0\nempty\n$end"
robust 'split: trusted for the false half' 0 "${goals}target 1\nsplit 0 1 5\ndual sum 1 1 0 0\ntrusted x\nverdict trusted 1\n"
robust 'split of the output: one half is false' 1 "${goals}target 1\nsplit 1 1 5\ndual sum 1 1 0 0\nempty\n$end"
robust 'split at the end: the first half is all' 1 "${goals}target 1\nsplit 0 1 6\nempty\nempty\n$end"
robust 'split at the end: the second half is empty' 1 "${goals}target 1\nsplit 0 1 6\ndual sum 1 1 0 0\nempty\n$end"
robust 'one leaf too many' 1 "${goals}target 1\ntrusted x\ntrusted x\nverdict trusted 2\n"
for at in -9223372036854775808 -1; do
  robust "split at $at: the first half is empty, and closed by anything" 0 \
    "${goals}target 1\nsplit 0 1 $at\nsplit 0 0 3\ndual pair 1 1 0 0\npoints\ntrusted z\nverdict trusted 1\n"
done
robust 'split at 2^63-1' 0 "${goals}target 1\nsplit 0 1 9223372036854775807\ntrusted x\nempty\nverdict trusted 1\n"
robust 'empty subtrees count what is trusted' 1 "${goals}target 1\nsplit 0 1 -1\ntrusted z\ntrusted z\nverdict trusted 1\n"
robust 'an empty half does not close the node above' 1 "${goals}target 1\nsplit 0 1 -1\nsplit 0 0 3\nempty\nempty\nempty\n$end"

# Restrictions hold in their part of the tree only, and never backwards.
box "$keep0" 5 6 0 6
robust 'a split of the output does not shrink the points' 1 "${goals}target 1\nsplit 1 1 5\npoints\nempty\n$end"
robust 'a split of the output shrinks it' 1 "${goals}target 1\nsplit 1 1 5\nempty\nempty\n$end"
robust 'a split of both' 0 "${goals}target 1\nsplit 1 1 5\nempty\nsplit 1 0 5\ntrusted q\nempty\nverdict trusted 1\n"
robust 'what was split is whole again afterwards' 1 "${goals}target 1\nsplit 1 1 5\nempty\nsplit 1 0 5\nempty\nempty\n$end"

# Bounds.
box "$keep0" 5 6 0 5
robust 'bound' 0 "${goals}bound 1 0 lo 5 0 0\nbound 1 1 hi 5 3 0\ntarget 1\nempty\n$end"
robust 'bound of an input' 0 "${goals}bound 0 0 lo 5 0 0\ntarget 1\nempty\n$end"
robust 'a lower bound too good' 1 "${goals}bound 1 0 lo 6 0 0\ntarget 1\nempty\n$end"
robust 'an upper bound too good' 1 "${goals}bound 1 1 hi 4 0 0\ntarget 1\nempty\n$end"
robust 'a bound of an input too good' 1 "${goals}bound 0 0 lo 6 0 0\ntarget 1\nempty\n$end"
robust 'a bound of no element' 1 "${goals}bound 1 2 lo 0 0 0\ntarget 1\nempty\n$end"
robust 'a bound of no tensor' 1 "${goals}bound 2 0 lo 0 0 0\ntarget 1\nempty\n$end"
robust 'a bound behind the targets' 1 "${goals}target 1\nempty\nbound 1 0 lo 5 0 0\n$end"

# Conditions. y1 - 2 y0 <= -5 = 5 - 10 here.
box 'violations 2\nviolation 1\nge -4 2 -2 0 0 1 0 1\nviolation 2\nge 5 1 1 0 1\nge 6 1 1 0 0\n' 5 6 0 5
robust 'violations' 1 "${goals}target 0\nempty\ntarget 1\nempty\n$end"
robust 'violations: a true and a trusted one' 0 "${goals}target 0\nempty\ntarget 1\ntrusted x\nverdict trusted 1\n"
robust 'violations: witness' 0 'witness\ninput 0 6 5\nverdict falsified\n'
robust 'violations: one inequality alone is no witness' 1 'witness\ninput 0 6 4\nverdict falsified\n'
robust 'violations: pair is not for these' 1 "${goals}target 0\ndual pair 1 1 0 0\ntarget 1\ntrusted x\nverdict trusted 1\n"
robust 'violations: one number too few' 1 "${goals}target 0\ndual sum 1 1 0 0\ntarget 1\ndual sum 1 1 0 0\n$end"
robust 'violations: in the wrong order' 1 "${goals}target 1\ntrusted x\ntarget 0\nempty\nverdict trusted 1\n"
box 'keep last 0 output 0\n' 5 6 0 5
robust 'last: a tie loses' 1 "${goals}target 1\nempty\n$end"
robust 'last: the tie is a witness' 0 'witness\ninput 0 5 5\nverdict falsified\n'
box 'keep last 1 output 0\n' 0 5 5 6
robust 'last: a tie keeps the last' 0 "${goals}target 0\nempty\n$end"
box 'keep first 1 output 0\n' 0 5 5 6
robust 'first: a tie loses the last' 1 "${goals}target 0\nempty\n$end"
robust 'first: points say the same' 1 "points\n$end"

# Listed points.
printf 'qvp 1\nclaim robust\ninput 0 points 2\n5 5\n6 0\nkeep first 0 output 0\nend\n' >"$dir/r.qvp"
robust 'listed points' 0 "points\n$end"
robust 'listed points: no proof' 1 "${goals}target 1\ntrusted x\nverdict trusted 1\n"
printf 'qvp 1\nclaim robust\ninput 0 points 2\n5 5\n5 6\nkeep first 0 output 0\nend\n' >"$dir/r.qvp"
robust 'listed points: one violates' 1 "points\n$end"
robust 'listed points: witness' 0 'witness\ninput 0 5 6\nverdict falsified\n'
printf 'qvp 1\nclaim robust\ninput 0 points 2\n5 5\n4 6\nkeep first 0 output 0\nend\n' >"$dir/r.qvp"
robust 'listed points: a witness between them' 1 'witness\ninput 0 5 6\nverdict falsified\n'

# Properties that are none. The certificate does not matter.
for p in 'input 0 all\nkeep first 2 output 0' 'input 0 all\nkeep first 0 output 1' 'input 0 all\nkeep any 0 output 0' 'input 0 all' \
  'input 0 all\nviolations 0' 'input 0 all\nviolations 1\nviolation 0' 'input 0 all\nviolations 1\nviolation 1\nge 0 1 0 0 0' \
  'input 0 all\nviolations 1\nviolation 1\nge 0 2 1 0 1 1 0 0' 'input 0 all\nviolations 1\nviolation 1\nge 0 2 1 0 1 1 0 1' \
  'input 0 all\nviolations 1\nviolation 1\nge 0 1 4611686018427387905 0 0' 'input 0 all\nviolations 1\nviolation 1\nge 0 1 1 0 2' \
  'input 0 points 0\nkeep first 0 output 0' 'input 0 points 1\n5 11\nkeep first 0 output 0' 'input 0 points 1\n5\nkeep first 0 output 0' \
  'acc-bits 0\ninput 0 all\nkeep first 0 output 0' 'keep first 0 output 0\ninput 0 all' 'input 0 all\nkeep first 0 output 0\nkeep first 0 output 0'; do
  printf "qvp 1\nclaim robust\n$p\nend\n" >"$dir/bad.qvp"
  expect "no property: $p" 2 '' "$dir/t.qir" "$dir/bad.qvp" "$dir/r.qvc"
done

# One claim is not the other.
box "$keep0" 5 6 0 5
robust 'sum, once more' 0 "${goals}target 1\nempty\n$end"
printf 'tensor 0 1 1\n0 10\ntensor 1 1 1\n0 10\nacc 0 16 harmless position\nverdict verified\n' | cert "$dir/r.qvp"
expect 'a certificate of overflow for a property of robustness' 1 's REJECTED' "$dir/t.qir" "$dir/r.qvp" "$dir/t.qvc"
printf 'qvp 1\nclaim overflow\nacc-bits 0\ninput 0 all\nend\n' >"$dir/t.qvp"
sed -e '/^sha256/d' -e "s/^property .*/property $(hash_of "$dir/t.qvp")/" "$dir/r.qvc" >"$dir/x.qvc"
printf 'sha256 %s\n' "$(hash_of "$dir/x.qvc")" >>"$dir/x.qvc"
expect 'a certificate of robustness for a property of overflow' 1 's REJECTED' "$dir/t.qir" "$dir/t.qvp" "$dir/x.qvc"
expect 'robustness without a property' 1 's REJECTED' "$dir/t.qir" - "$dir/x.qvc"

# Several pairs: all have to be accepted.
cp "$dir/r.qvp" "$dir/a.qvp" && cp "$dir/r.qvc" "$dir/a.qvc"
expect 'two pairs' 0 's CHECKED' "$dir/t.qir" "$dir/a.qvp" "$dir/a.qvc" "$dir/a.qvp" "$dir/a.qvc"
if [ "$(grep -cx 's CHECKED' "$dir/out")" = 2 ]; then result 0 'two pairs, two answers'; else result 1 'two pairs, two answers'; fi
"$check" "$dir/t.qir" "$dir/a.qvp" "$dir/x.qvc" "$dir/a.qvp" "$dir/a.qvc" >"$dir/out" 2>/dev/null
if [ $? = 1 ] && [ "$(grep '^s' "$dir/out" | tr '\n' ' ')" = 's REJECTED s CHECKED ' ]; then result 0 'two pairs, one rejected'; else result 1 'two pairs, one rejected'; fi
"$check" "$dir/t.qir" "$dir/bad.qvp" "$dir/x.qvc" "$dir/a.qvp" "$dir/a.qvc" >"$dir/out" 2>/dev/null
if [ $? = 2 ]; then result 0 'two pairs, one unusable'; else result 1 'two pairs, one unusable'; fi

# A deep tree: 100000 splits whose second halves are empty.
{
  printf "${goals}target 1\n"
  yes 'split 0 0 10' | head -n 100000
  echo 'dual sum 1 1 0 0'
  yes empty | head -n 100000
  printf "$end"
} | rcert
expect 'a tree of depth 100000' 0 's CHECKED' "$dir/t.qir" "$dir/r.qvp" "$dir/r.qvc"

# y1 = x0 - x1: in the outputs' intervals there is a violation, in their difference there is none.
both "$plain" 1 0 1 -1 | net '1 2' 0 10 2 1
box "$keep0" 0 10 0 5
robust 'pair of sums, together' 0 "${goals}target 1\ndual pair 1 1 0 0\n$end"
robust 'pair of sums, twice' 0 "${goals}target 1\ndual pair 4 4 2 0\n$end"
robust 'pair of sums, unequal numbers' 1 "${goals}target 1\ndual pair 1 2 0 0\n$end"
robust 'pair of sums, cut' 1 "${goals}target 1\ndual pair 1 1 0 1 1 0 0\n$end"
robust 'not empty' 1 "${goals}target 1\nempty\n$end"

box 'violations 1\nviolation 1\nge 6 1 -1 0 1\n' 0 10 0 10
robust 'an input cut from above' 0 "${goals}target 0\nsplit 0 1 5\nempty\ntrusted x\nverdict trusted 1\n"
robust 'an input cut from below' 1 "${goals}target 0\nsplit 0 1 5\ntrusted x\nempty\nverdict trusted 1\n"
robust 'an input cut too little' 1 "${goals}target 0\nsplit 0 1 6\nempty\ntrusted x\nverdict trusted 1\n"
robust 'two inputs cut, the other way round' 0 "${goals}target 0\nsplit 0 0 4\nsplit 0 1 5\nempty\ntrusted x\nsplit 0 1 9\nempty\nempty\nverdict trusted 1\n"
robust 'two inputs cut, one too little' 1 "${goals}target 0\nsplit 0 0 4\nsplit 0 1 6\nempty\ntrusted x\nsplit 0 1 9\nempty\nempty\nverdict trusted 1\n"

# Steps: 2 y = x, rounded up. In outputs a tie, so no bound on them can be positive; pair looks at what is behind.
{
  both "$plain" 1 0 0 1
  printf 'node 1 step op "" layer 0 in 1 1 out 2\nstep in_zp 0 lshift 0 out_zp 0 lo -100 hi 100 inner 1\nidx none\npar 1\nRQ_S 1 30\n'
} | net '1 2' 0 10 3 2
box "$keep0" 5 6 0 5
robust 'pair of steps' 0 "${goals}target 1\ndual pair 1 1 0 0\n$end"
box "$keep0" 5 6 0 7
robust 'pair of steps: false' 1 "${goals}target 1\ndual pair 1 1 0 0\n$end"
robust 'pair of steps: the witness' 0 'witness\ninput 0 5 7\nverdict falsified\n'
box "$keep0" 5 6 0 6
robust 'steps: a tie in the outputs' 0 "${goals}target 1\nempty\n$end"
robust 'steps: a multiplier' 0 "${goals}target 1\ndual sum 1 2 0 2 2 0 0 2 1 0\n$end"
robust 'steps: a multiplier that costs the rounding' 1 "${goals}target 1\ndual sum 1 2 0 2 2 0 1 2 1 -1\n$end"
# 3 f(a) - 2 a over a in [0,5] is least at the end of the piece before the last: 3*2 - 2*4.
box 'violations 1\nviolation 1\nge 3 1 -3 0 0\n' 0 5 0 0
robust 'steps: pieces' 0 "${goals}target 0\ndual sum 1 1 0 1 2 0 2\n$end"
box 'violations 1\nviolation 1\nge 2 1 -3 0 0\n' 0 5 0 0
robust 'steps: pieces, one less' 1 "${goals}target 0\ndual sum 1 1 0 1 2 0 2\n$end"
cp "$dir/t.qir" "$dir/s.qir"
sed 's/^0 1$/1 -1/' -i "$dir/t.qir"
box "$keep0" 0 10 0 5
robust 'pair of steps of sums' 0 "${goals}target 1\ndual pair 1 1 0 0\n$end"
robust 'pair of steps of sums, unequal numbers' 1 "${goals}target 1\ndual pair 3 1 0 0\n$end"
robust 'pair of steps of sums, only the outputs' 1 "${goals}target 1\ndual sum 1 1 0 0\n$end"
box 'keep last 0 output 0\n' 0 10 1 5
robust 'pair of steps of sums, a tie loses' 1 "${goals}target 1\ndual pair 1 1 0 0\n$end"
box 'keep last 0 output 0\n' 0 10 2 5
robust 'pair of steps of sums, a tie loses, but a whole step apart' 0 "${goals}target 1\ndual pair 1 1 0 0\n$end"
sed -e 's/ lo 0 hi 10 / lo 0 hi 1048576 /' -e 's/wrap bits 16/wrap bits 32/' -e 's/lo -100 hi 100/lo -9999999 hi 9999999/' -i "$dir/t.qir"
box "$keep0" 0 131070 0 5
robust 'pair over 2^16 values' 0 "${goals}target 1\ndual pair 1 1 0 0\n$end"
box "$keep0" 0 1048576 0 5
robust 'pair over more than 2^16 values' 1 "${goals}target 1\ndual pair 1 1 0 0\n$end"
cp "$dir/s.qir" "$dir/t.qir"
sed 's/RQ_S 1 30/RQ_D -2147483648 -1/' -i "$dir/t.qir"
box "$keep0" 0 0 5 6
robust 'pair of falling steps' 1 "${goals}target 1\ndual pair 1 1 0 0\n$end"
robust 'falling steps: empty' 0 "${goals}target 1\nempty\n$end"
box "$keep0" 5 6 0 0
robust 'falling steps: false' 1 "${goals}target 1\ndual pair 1 1 0 0\n$end"
robust 'falling steps: the witness' 0 'witness\ninput 0 5 0\nverdict falsified\n'

# Accumulators that are not exact: the result wraps, saturates, traps, or depends on the order.
both 'wrap bits 4 order kernel bias last form corrected' 1 0 0 1 | net '1 2' 0 10 2 1
box "$keep0" 7 8 0 0
robust 'wraps: sum' 1 "${goals}target 1\ndual sum 1 1 0 0\n$end"
robust 'wraps: points' 1 "points\n$end"
robust 'wraps: witness' 0 'witness\ninput 0 8 0\nverdict falsified\n'
box "$keep0" 6 7 0 6
robust 'does not wrap in this box' 0 "${goals}target 1\ndual sum 1 1 0 0\n$end"
box "$keep0" 7 8 0 0
robust 'wraps: its output cannot be split' 1 "${goals}target 1\nsplit 1 0 0\ntrusted x\ntrusted x\nverdict trusted 2\n"
robust 'wraps: it has no bounds' 1 "${goals}bound 1 0 lo -8 0 0\ntarget 1\ntrusted x\nverdict trusted 1\n"
robust 'wraps: it has no multipliers' 1 "${goals}target 1\ndual sum 1 1 0 1 1 0 0\n$end"
both 'trap bits 4 order kernel bias last form corrected' 1 0 0 1 | net '1 2' 0 10 2 1
box "$keep0" 7 8 0 0
robust 'traps: empty' 1 "${goals}target 1\nempty\n$end"
robust 'traps: trusted' 1 "${goals}target 1\ntrusted x\nverdict trusted 1\n"
robust 'traps: points' 1 "${goals}target 1\npoints\n$end"
robust 'traps: a bound' 1 "${goals}bound 0 0 lo 7 0 0\ntarget 1\npoints\n$end"
robust 'traps: no witness there' 1 'witness\ninput 0 8 0\nverdict falsified\n'
both 'sat bits 4 order any bias last form corrected' 7 -7 0 1 | net '1 2' 0 10 2 1
box "$keep0" 1 1 0 0
robust 'any order: a point that no order changes' 0 "points\n$end"
box "$keep0" 2 2 2 2
robust 'any order: a point whose result depends on it' 1 "points\n$end"
robust 'any order: nor can it be a witness' 1 'witness\ninput 0 2 2\nverdict falsified\n'
sed -i 's/order any/order kernel/' "$dir/t.qir"
robust 'kernel order: sat(sat(14) - 14) = -7: a witness' 0 'witness\ninput 0 2 2\nverdict falsified\n'
# Machines at work: lanes that are emptied in time, a trap on the way, a bias at the beginning.
both 'lanes bits 32 order kernel bias last form corrected lanes 1 lane_bits 8 lane wrap spill 1' 100 100 0 1 | net '1 2' 0 10 2 1
box 'violations 1\nviolation 2\nge 200 1 1 0 0\nge -200 1 -1 0 0\n' 0 10 0 10
robust 'lanes emptied after each term' 0 'witness\ninput 0 1 1\nverdict falsified\n'
sed -i 's/spill 1/spill 2/' "$dir/t.qir"
robust 'lanes emptied after two terms' 1 'witness\ninput 0 1 1\nverdict falsified\n'
both 'trap bits 8 order kernel bias last form corrected' 100 -100 0 1 | net '1 2' 0 10 2 1
box 'violations 1\nviolation 1\nge 100 1 1 0 0\n' 0 10 0 10
robust 'a trap that is not sprung' 0 'witness\ninput 0 1 0\nverdict falsified\n'
robust 'a trap on the way' 1 'witness\ninput 0 2 1\nverdict falsified\n'
both 'sat bits 5 order kernel bias first form corrected' 1 -1 0 1 | sed 's/^b 0 0/b 10 0/' | net '1 2' 0 10 2 1
box 'violations 1\nviolation 2\nge 11 1 1 0 0\nge -11 1 -1 0 0\n' 0 10 0 10
robust 'a bias at the beginning' 0 'witness\ninput 0 3 2\nverdict falsified\n'
robust 'a bias at the beginning, saturated' 1 'witness\ninput 0 9 8\nverdict falsified\n'
printf 'node 0 tail op "" layer 0 in 1 0 out 1\ntail softmax_q out_zp -128 lo -128 hi 127 mult 1073741824 ls 18 diff_min -1 out_bits 8\n' | net '1 2' 0 10 2 1
box 'violations 1\nviolation 1\nge -100 1 1 0 1\n' 0 10 0 10
robust 'softmax, an entry at diff_min' 0 'witness\ninput 0 5 4\nverdict falsified\n'
robust 'softmax, an entry below diff_min' 1 'witness\ninput 0 6 4\nverdict falsified\n'
box 'violations 1\nviolation 2\nge 0 1 1 0 0\nge 0 1 -1 0 0\n' 0 10 0 10
robust 'softmax, an entry at diff_min is in the sum' 0 'witness\ninput 0 5 4\nverdict falsified\n'
robust 'softmax, an entry below diff_min is not' 1 'witness\ninput 0 6 4\nverdict falsified\n'
printf 'node 0 opaque op "" layer 0 in 1 0 out 1\nopaque lo 3 hi 4\n' | net '1 2' 0 10 2 1
box 'violations 1\nviolation 1\nge 5 1 1 0 0\n' 0 0 0 0
robust 'opaque: nothing is proved' 1 "${goals}target 0\nempty\n$end"
robust 'opaque: nothing is trusted' 1 "${goals}target 0\ntrusted x\nverdict trusted 1\n"
robust 'opaque: nothing is executed' 1 "points\n$end"

# Zero points and biases: y0 = x0 - 3 + 1, y1 = 2 (x1 - 3).
both "$plain" 1 0 0 2 | sed -e 's/x_zp 0/x_zp 3/' -e 's/^b 0 0/b 1 0/' | net '1 2' 0 10 2 1
box 'violations 1\nviolation 1\nge 0 2 -1 0 0 1 0 1\n' 4 6 0 3
robust 'zero points' 0 "${goals}target 0\ndual sum 1 1 0 0\n$end"
box 'violations 1\nviolation 1\nge 0 2 -1 0 0 1 0 1\n' 4 6 0 4
robust 'zero points, one more' 1 "${goals}target 0\ndual sum 1 1 0 0\n$end"

# Pairs of what they are not for: one element twice; sums that are not exact, though nothing has to be proved.
{
  both "$plain" 1 0 0 1
  printf 'node 1 index op "" layer 0 in 1 1 out 2\nindex gather axis 0\ng 0 0\n'
} | net '1 2' 0 10 3 2
box "$keep0" 0 10 0 10
robust 'an element and itself: a pair' 1 "${goals}target 1\ndual pair 1 1 0 0\n$end"
robust 'an element and itself: a sum' 0 "${goals}target 1\ndual sum 1 1 0 0\n$end"
both 'wrap bits 4 order kernel bias last form corrected' 1 0 0 1 | net '1 2' 0 10 2 1
box 'violations 1\nviolation 1\nge 20 2 1 0 0 -1 0 1\n' 0 10 0 10
robust 'wraps: a pair far apart' 1 "${goals}target 0\ndual pair 1 1 0 0\n$end"
robust 'wraps: empty' 0 "${goals}target 0\nempty\n$end"

# y0 = max(x0, x1), y1 = x1 and a padded tap.
printf 'node 0 max op "" layer 0 in 1 0 out 1\nwindow n 1 ih 1 iw 2 ic 1 oh 1 ow 2 oc 1 kh 1 kw 2 sh 1 sw 1 dh 1 dw 1 pt 0 pl 0 groups 1\n' |
  net '4 1 1 2 1' 0 10 2 1
least='violations 1\nviolation 1\nge -4 1 -1 0 0\n'
box "$least" 0 2 5 7
robust 'max, as an interval' 0 "${goals}target 0\ndual sum 1 1 0 0\n$end"
robust 'max, over its values' 0 "${goals}target 0\ndual sum 1 1 0 1 1 0 0\n$end"
robust 'max, by its second tap' 0 "${goals}target 0\ndual sum 1 1 0 1 1 1 1\n$end"
robust 'max, by both taps' 1 "${goals}target 0\ndual sum 1 1 0 2 1 0 1 1 1 1\n$end"
robust 'max, a multiplier for a padded tap' 1 "${goals}target 0\ndual sum 1 1 0 1 1 3 0\n$end"
box "$least" 0 2 4 7
robust 'max, one less' 1 "${goals}target 0\ndual sum 1 1 0 0\n$end"
robust 'max, one less, over its values' 1 "${goals}target 0\ndual sum 1 1 0 1 1 0 0\n$end"
robust 'max, one less, by its second tap' 1 "${goals}target 0\ndual sum 1 1 0 1 1 1 1\n$end"
# y0 - y1 = max(x0 - x1, 0): some tap attains the maximum; if it is x1 that is 0, if it is x0, no more than 3 - 1. (With the maximum anywhere
# up to 4 and x1 at 1 it would be 3.)
box 'violations 1\nviolation 1\nge 3 2 1 0 0 -1 0 1\n' 0 3 1 4
robust 'max, the tap that attains it' 0 "${goals}target 0\ndual sum 1 1 0 2 1 1 -1 1 2 1\n$end"
robust 'max, a multiplier for the other tap' 1 "${goals}target 0\ndual sum 1 1 0 2 1 0 -1 1 2 1\n$end"
box 'violations 1\nviolation 1\nge 2 2 1 0 0 -1 0 1\n' 0 3 1 4
robust 'max, the tap that attains it, one less' 1 "${goals}target 0\ndual sum 1 1 0 2 1 1 -1 1 2 1\n$end"
robust 'max, the tap that attains it, one less: it is false' 0 'witness\ninput 0 3 1\nverdict falsified\n'
# A tap that lies below another one cannot attain it: -max(x0,x1) + x1 is 0 then, not -7 + 5.
box "$least" 0 2 5 7
robust 'max, a tap that cannot attain it' 0 "${goals}bound 1 0 hi 7 0 1 1 1 -1\ntarget 0\ntrusted x\nverdict trusted 1\n"
robust 'max, a tap that cannot attain it, one better' 1 "${goals}bound 1 0 hi 6 0 1 1 1 -1\ntarget 0\ntrusted x\nverdict trusted 1\n"
robust 'max, that tap counts as one of the others' 0 "${goals}bound 1 0 hi 9 0 2 1 0 -1 1 1 -1\ntarget 0\ntrusted x\nverdict trusted 1\n"
robust 'max, that tap counts as one of the others, one better' 1 "${goals}bound 1 0 hi 8 0 2 1 0 -1 1 1 -1\ntarget 0\ntrusted x\nverdict trusted 1\n"

# Windows of 2 x 2 from one row and column before the image: x0 alone; x0, x1; x0, x2; all four. The bounds are brute force over the taps,
# the least of +-2^SCALE * max(x) - sum of S*x, and then the inputs' own ends.
printf 'node 0 max op "" layer 0 in 1 0 out 1\nwindow n 1 ih 2 iw 2 ic 1 oh 2 ow 2 oc 1 kh 2 kw 2 sh 1 sw 1 dh 1 dw 1 pt 1 pl 1 groups 1\n' |
  net '4 1 2 2 1' -10 10 2 1
box 'violations 1\nviolation 1\nge 100 1 1 0 0\n' 0 3 1 4 -2 2 -1 5
best() { # element, lo or hi, the best bound, SCALE, multipliers: what is named of it holds, and nothing better
  local better=$(($3 + 1))
  if [ "$2" = hi ]; then better=$(($3 - 1)); fi
  robust "max, 2 x 2: element $1 $2 $3, $5" 0 "${goals}bound 1 $1 $2 $3 $4 $5\ntarget 0\ntrusted x\nverdict trusted 1\n"
  robust "max, 2 x 2: element $1 $2 $better, $5" 1 "${goals}bound 1 $1 $2 $better $4 $5\ntarget 0\ntrusted x\nverdict trusted 1\n"
}
best 0 lo -6 0 '1 1 3 3'
best 0 hi 12 0 '1 1 3 3'
best 0 lo -6 0 '1 1 3 -2'
best 0 hi 6 0 '1 1 3 -2'
best 1 lo -5 0 '2 1 6 -1 1 7 -1'
best 1 hi 7 0 '2 1 6 -1 1 7 -1'
best 1 lo -12 0 '2 1 6 2 1 7 -3'
best 1 hi 18 0 '2 1 6 2 1 7 -3'
best 1 lo 0 1 '2 1 6 1 1 7 2'
best 1 hi 8 1 '2 1 6 1 1 7 2'
best 2 lo -3 0 '2 1 9 -1 1 11 0'
best 2 hi 5 0 '2 1 9 -1 1 11 0'
best 2 lo -4 0 '2 1 9 1 1 11 1'
best 2 hi 10 0 '2 1 9 1 1 11 1'
best 3 lo -15 0 '4 1 12 -1 1 13 -1 1 14 -1 1 15 -1'
best 3 hi 17 0 '4 1 12 -1 1 13 -1 1 14 -1 1 15 -1'
best 3 lo -11 0 '4 1 12 1 1 13 1 1 14 1 1 15 1'
best 3 hi 21 0 '4 1 12 1 1 13 1 1 14 1 1 15 1'
best 3 lo -3 2 '4 1 12 0 1 13 -3 1 14 2 1 15 1'
best 3 hi 10 2 '4 1 12 0 1 13 -3 1 14 2 1 15 1'
best 3 lo -4 1 '4 1 12 1 1 13 -1 1 14 0 1 15 2'
best 3 hi 14 1 '4 1 12 1 1 13 -1 1 14 0 1 15 2'
best 3 lo -5 2 '4 1 12 -2 1 13 -1 1 14 -3 1 15 -1'
best 3 hi 10 2 '4 1 12 -2 1 13 -1 1 14 -3 1 15 -1'
best 3 lo -5 0 '4 1 12 0 1 13 0 1 14 0 1 15 -1'
best 3 hi 10 0 '4 1 12 0 1 13 0 1 14 0 1 15 -1'
robust 'max, 2 x 2: a multiplier for a padded tap' 1 "${goals}bound 1 1 hi 10 0 1 1 5 0\ntarget 0\ntrusted x\nverdict trusted 1\n"
robust 'max, 2 x 2: a multiplier for an inside tap, 0' 0 "${goals}bound 1 1 hi 4 0 1 1 6 0\ntarget 0\ntrusted x\nverdict trusted 1\n"

# -2 y + x of the clamp to [2,8] over [0,10] is least at 8: -8.
printf 'node 0 clamp op "" layer 0 in 1 0 out 1\nclamp lo 2 hi 8\n' | net '1 2' 0 10 2 1
box 'violations 1\nviolation 1\nge 19 1 2 0 0\n' 0 10 0 0
robust 'clamp' 0 "${goals}target 0\ndual sum 1 1 0 1 1 0 -1\n$end"
box 'violations 1\nviolation 1\nge 18 1 2 0 0\n' 0 10 0 0
robust 'clamp, one less' 1 "${goals}target 0\ndual sum 1 1 0 1 1 0 -1\n$end"

# y = x * x, as a product of two.
printf 'node 0 product op "" layer 0 in 2 0 0 out 1\nacc %s\nproduct z0 0 z1 0\n' "$plain" | net '1 2' 0 10 2 1
box 'violations 1\nviolation 1\nge 10 1 1 0 0\n' 2 3 2 3
robust 'product, by multipliers' 0 "${goals}target 0\ndual sum 1 1 0 2 1 0 -2 1 1 -2\n$end"
robust 'product, as an interval' 0 "${goals}target 0\ndual sum 1 1 0 0\n$end"
box 'violations 1\nviolation 1\nge 9 1 1 0 0\n' 2 3 2 3
robust 'product, by multipliers, one less' 1 "${goals}target 0\ndual sum 1 1 0 2 1 0 -2 1 1 -2\n$end"
robust 'product, as an interval, one less' 1 "${goals}target 0\ndual sum 1 1 0 0\n$end"
box 'violations 1\nviolation 1\nge -3 1 -1 0 0\n' 2 3 2 3
robust 'product, from below' 0 "${goals}target 0\ndual sum 1 1 0 2 1 0 2 1 1 2\n$end"
box 'violations 1\nviolation 1\nge -4 1 -1 0 0\n' 2 3 2 3
robust 'product, from below, one more' 1 "${goals}target 0\ndual sum 1 1 0 2 1 0 2 1 1 2\n$end"

# Values beyond what a bound may use, and boxes too large to enumerate.
both 'wrap bits 64 order kernel bias last form corrected' 1 0 0 1 | net '1 2' 0 1000000000000 2 1
box 'violations 1\nviolation 1\nge 4611686018427387904 1 4611686018427387904 0 0\n' 0 1000000000000 0 0
robust 'a coefficient that leaves int64' 1 "${goals}target 0\ndual sum 1 4611686018427387904 0 0\n$end"
robust 'a box of too many points' 1 "points\n$end"
robust 'the outputs exclude it in 128 bits' 1 "${goals}target 0\nempty\n$end"
box 'violations 1\nviolation 1\nge 4611686018427387904 1 4611686018427387904 0 0\n' 0 0 0 0
robust 'the outputs exclude it in 128 bits, really' 0 "${goals}target 0\nempty\n$end"

# Logits: the tail has gap 5, as the model in make_robust.py says.
printf 'node 0 tail op "" layer 0 in 1 0 out 1\ntail softmax_q out_zp -128 lo -128 hi 128 mult 1073741824 ls 18 diff_min -100 out_bits 8\n' |
  net '1 2' 0 1000 2 1
logits="goals logits\ntarget 0\ndual sum 1 1 0 0\n$end"
box 'keep first 1 output 0\n' 5 5 10 10
robust 'logits, the gap' 0 "$logits"
robust 'logits, as points' 0 "goals logits\ntarget 0\npoints\n$end"
robust 'logits, as outputs' 1 "goals outputs\ntarget 0\ndual sum 1 1 0 0\n$end"
box 'keep first 1 output 0\n' 5 5 9 10
robust 'logits, one less' 1 "$logits"
box 'keep first 1 output 0\n' 5 5 10 260
robust 'logits, 256 values' 0 "$logits"
box 'keep first 1 output 0\n' 5 5 10 261
robust 'logits, 257 values: nothing is known of the tail' 1 "$logits"
box 'keep last 1 output 0\n' 5 5 5 5
robust 'logits, a tie keeps the class' 0 "$logits"
box 'keep last 1 output 0\n' 6 6 5 5
robust 'logits, one more than a tie' 1 "$logits"
box 'violations 1\nviolation 1\nge 300 1 1 0 0\n' 5 5 5 5
robust 'logits, not for violations' 1 "$logits"
sed -i 's/hi 128 mult/hi -1 mult/' "$dir/t.qir"
box 'keep first 1 output 0\n' 5 5 10 10
robust 'logits, no gap where the result may be clipped' 1 "$logits"
box 'keep last 1 output 0\n' 5 5 5 5
robust 'logits, no gap and no tie that loses' 0 "$logits"

# softmax_f with two inputs: 128 (1 - exp(-1)) = 15/16, less than 1; exp(-2) = 0. So the gap is 2.
{
  printf 'node 0 tail op "" layer 0 in 1 0 out 1\ntail softmax_f out_zp -128 lo -128 hi 127 out_scale 0x1p-8 round away\nexp'
  for ((i = 0; i < 254; i++)); do printf ' 0x0p+0'; done
  printf ' 0x1.fc4p-1 0x1p+0\n'
} | net '1 2' 0 255 2 1
box 'keep first 1 output 0\n' 5 5 7 20
robust 'softmax_f, the gap' 0 "$logits"
box 'keep first 1 output 0\n' 5 5 6 20
robust 'softmax_f, one less' 1 "$logits"

# Sums beyond 2^61 are not exact for this purpose.
both 'exact order kernel bias last form corrected' 2147483647 0 0 1 | net '1 2' 0 1200000000 2 1
box "$keep0" 0 1000000000 0 0
robust 'sums within 2^61' 0 "${goals}bound 1 0 lo 0 0 0\ntarget 1\nempty\n$end"
box "$keep0" 0 1200000000 0 0
robust 'sums beyond 2^61' 1 "${goals}bound 1 0 lo 0 0 0\ntarget 1\nempty\n$end"
robust 'sums beyond 2^61, intervals alone' 0 "${goals}target 1\nempty\n$end"

# Joint minima. Two relus of one input pair: y0 = max(x0 + x1 - 8, 0), y1 = max(8 - x0 - x1, 0); not both are positive, and each alone
# is at most 8 for x in [0,8]^2: y0 + y1 <= 8 is what they have in common, 16 what they have one by one.
relus() { # accumulator, groups, oh of the window
  printf 'node 0 affine op "" layer 0 in 1 0 out 1\nwindow n 1 ih 1 iw 1 ic 2 oh 1 ow 1 oc 2 kh 1 kw 1 sh 1 sw 1 dh 1 dw 1 pt 0 pl 0 groups 1\n'
  printf 'acc %s\nx_zp 0\nw_zp 1 0\nb -8 8\nw\n1 1\n-1 -1\n' "$1"
  printf 'node 1 clamp op "" layer 0 in 1 1 out 2\nclamp lo 0 hi 100\n'
}
relus "$plain" | net '1 2' 0 10 3 2
box 'violations 1\nviolation 1\nge 9 2 1 0 0 1 0 1\n' 0 8 0 8
robust 'relus one by one' 1 "${goals}target 0\ndual sum 1 1 0 0\n$end"
robust 'relus together' 0 "${goals}target 0\ndual sum 1 1 0 0 joint 1 2 81\n$end"
robust 'relus together, a limit below the points' 1 "${goals}target 0\ndual sum 1 1 0 0 joint 1 2 80\n$end"
robust 'relus together, the largest limit' 0 "${goals}target 0\ndual sum 1 1 0 0 joint 1 2 1048576\n$end"
robust 'relus together, a larger one' 1 "${goals}target 0\ndual sum 1 1 0 0 joint 1 2 1048577\n$end"
robust 'relus together, limit 0' 1 "${goals}target 0\ndual sum 1 1 0 0 joint 1 2 0\n$end"
robust 'relus together, slopes that add nothing' 0 "${goals}target 0\ndual sum 1 1 0 2 2 0 0 2 1 0 joint 1 2 81\n$end"
robust 'relus together, equal slopes: the sums add up to 0' 0 "${goals}target 0\ndual sum 1 1 0 2 2 0 -1 2 1 -1 joint 1 2 81\n$end"
robust 'relus together, one slope too many' 1 "${goals}target 0\ndual sum 1 1 0 1 2 0 -1 joint 1 2 81\n$end"
robust 'joint, no tensor' 1 "${goals}target 0\ndual sum 1 1 0 0 joint 0\n$end"
robust 'joint, a tensor twice' 1 "${goals}target 0\ndual sum 1 1 0 0 joint 2 2 81 2 81\n$end"
robust 'joint, one tensor too few' 1 "${goals}target 0\ndual sum 1 1 0 0 joint 2 2 81\n$end"
robust 'joint, one tensor too many' 1 "${goals}target 0\ndual sum 1 1 0 0 joint 1 2 81 2 81\n$end"
robust 'joint, no limit' 1 "${goals}target 0\ndual sum 1 1 0 0 joint 1 2\n$end"
robust 'joint, the affine tensor' 1 "${goals}target 0\ndual sum 1 1 0 0 joint 1 1 81\n$end"
robust 'joint, the input' 1 "${goals}target 0\ndual sum 1 1 0 0 joint 1 0 81\n$end"
robust 'joint, no such tensor' 1 "${goals}target 0\ndual sum 1 1 0 0 joint 1 3 81\n$end"
robust 'joint, another word' 1 "${goals}target 0\ndual sum 1 1 0 0 Joint 1 2 81\n$end"
robust 'joint, and more' 1 "${goals}target 0\ndual sum 1 1 0 0 joint 1 2 81 \n$end"
robust 'joint, in an empty part as well' 1 "${goals}target 0\nsplit 0 0 -1\ndual sum 1 1 0 0 joint 1 1 81\ndual sum 1 1 0 0 joint 1 2 81\n$end"
robust 'joint, before a second half' 0 "${goals}target 0\nsplit 0 0 4\ndual sum 1 1 0 0 joint 1 2 45\ndual sum 1 1 0 0 joint 1 2 81\n$end"
robust 'joint, the limit of the first line does not last' 1 "${goals}target 0\nsplit 0 0 4\ndual sum 1 1 0 0 joint 1 2 45\ndual sum 1 1 0 0\n$end"
box 'violations 1\nviolation 1\nge 8 2 1 0 0 1 0 1\n' 0 8 0 8
robust 'relus together, one less' 1 "${goals}target 0\ndual sum 1 1 0 0 joint 1 2 81\n$end"
robust 'relus together, one less: the witness' 0 'witness\ninput 0 8 8\nverdict falsified\n'
# The sums cut to [-7,7] leave the corner out.
robust 'points outside the sums in force' 0 "${goals}target 0\nsplit 1 0 7\nsplit 1 0 -8\ntrusted x\ndual sum 1 1 0 0 joint 1 2 81\ntrusted x\nverdict trusted 2\n"
robust 'points outside the sums in force, one less' 1 "${goals}target 0\nsplit 1 0 7\ndual sum 1 1 0 0 joint 1 2 81\ntrusted x\nverdict trusted 1\n"
# No point left: x0 + x1 - 8 >= 1 and 8 - x0 - x1 >= 1. Nothing is added, and what the condition's constant says is all.
box 'violations 1\nviolation 1\nge 1 2 1 0 0 1 0 1\n' 0 8 0 8
robust 'no point left' 0 "${goals}target 0\nsplit 1 0 0\ntrusted x\nsplit 1 1 0\ntrusted x\ndual sum 1 1 0 0 joint 1 2 81\nverdict trusted 2\n"
robust 'no point left, but not over the limit' 1 "${goals}target 0\nsplit 1 0 0\ntrusted x\nsplit 1 1 0\ntrusted x\ndual sum 1 1 0 0 joint 1 2 63\nverdict trusted 2\n"
relus 'wrap bits 5 order kernel bias last form corrected' | net '1 2' 0 10 3 2
box 'violations 1\nviolation 1\nge 9 2 1 0 0 1 0 1\n' 0 8 0 8
robust 'joint, a sum that fits just so' 0 "${goals}target 0\ndual sum 1 1 0 0 joint 1 2 81\n$end"
relus 'wrap bits 4 order kernel bias last form corrected' | net '1 2' 0 10 3 2
robust 'joint, a sum that is not exact' 1 "${goals}target 0\ndual sum 1 1 0 0 joint 1 2 81\n$end"
robust 'joint, a sum that is not exact, though nothing is asked' 1 "${goals}target 0\nsplit 0 0 -1\ndual sum 1 1 0 0 joint 1 2 81\ntrusted x\nverdict trusted 1\n"
