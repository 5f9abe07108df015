#!/usr/bin/env bash
# Tests of qverify-check: lines "ok ..." / "not ok ...", last line "N passed, N failed". Runs from any directory.
# CHECK names the program under test (build/release/qverify-check); MUTANTS=0 leaves the long part out, MUTANTS=all or a QV_TEST_MULT above 1
# (make check-long) attacks every stored certificate instead of every fourth, and changes every byte of a cover.
set -uo pipefail
cd "$(dirname "$0")/../.."
export LC_ALL=C
check=${CHECK:-build/release/qverify-check}
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
passed=0 failed=0
mutants=${MUTANTS:-1} case_number=0
if [ "$mutants" = 1 ] && [ "${QV_TEST_MULT:-1}" -gt 1 ]; then mutants=all; fi
if [ "$mutants" = all ]; then COVER_STEP=1; fi

result() { # 0 or 1, name
  if [ "$1" = 0 ]; then
    passed=$((passed + 1))
    echo "ok $2"
  else
    failed=$((failed + 1))
    echo "not ok $2"
  fi
}

# name, expected exit code, expected last line of standard output (or ""), arguments
expect() {
  local name=$1 code=$2 last=$3 rc good=0
  shift 3
  timeout 60 "$check" "$@" >"$dir/out" 2>"$dir/err"
  rc=$?
  [ $rc = "$code" ] || good=1
  [ "$(tail -n 1 "$dir/out")" = "$last" ] || good=1
  if [ "$code" = 2 ] && [ ! -s "$dir/err" ]; then good=1; fi
  if [ "$code" != 0 ] && grep -q '^s CHECKED' "$dir/out"; then good=1; fi
  if grep -qE 'AddressSanitizer|runtime error' "$dir/err"; then good=1; fi
  result $good "$name"
  if [ $good != 0 ]; then
    echo "  exit $rc, expected $code"
    sed 's/^/  /' "$dir/out" "$dir/err" | head -n 10
  fi
}

hash_of() { sha256sum "$1" | cut -d' ' -f1; }
# cert PROPERTY-FILE|-: the lines of a certificate on standard input, between the header and the own hash, become $dir/t.qvc for $dir/t.qir
cert() {
  local p=-
  if [ "$1" != - ]; then p=$(hash_of "$1"); fi
  {
    printf 'qvc 1\nclaim overflow\nnet %s\nproperty %s\n' "$(hash_of "$dir/t.qir")" "$p"
    cat
  } >"$dir/t.qvc"
  printf 'sha256 %s\n' "$(hash_of "$dir/t.qvc")" >>"$dir/t.qvc"
}

# ---- stored nets: every node kind, index form, requantization function and accumulator mode -------------------------------------------
for c in tests/check/cases/bad*.qvc; do expect "rejects $(basename "$c")" 1 's REJECTED' "${c%.qvc}.qir" "${c%.qvc}.qvp" "$c"; done
for c in tests/check/cases/{net,rob}*.qvc; do
  n=${c%.qvc} p=-
  if [ -f "$n.qvp" ]; then p=$n.qvp; fi
  expect "accepts $(basename "$n")" 0 's CHECKED' "$n.qir" "$p" "$c"
  if [ "$(tail -n 2 "$dir/out" | head -n 1)" != "c $(grep ^verdict "$c")" ]; then result 1 "verdict of $(basename "$n")"; fi
done

# ---- hand-made ------------------------------------------------------------------------------------------------------------------------
net() { # elements of the input, lo, hi; then the nodes on standard input, 1 output: the last tensor; all tensors have one shape
  local dims=$1 lo=$2 hi=$3 count=$4 nodes=$5
  {
    printf 'qir 1\nsource ""\nsha256 ""\nprofile ""\nformat ""\nnotes 0\ntensors %d\n' "$count"
    for ((i = 0; i < count; i++)); do printf 'tensor %d name "%d" type i64 dims %s scale none const no\n' $i $i "$dims"; done
    printf 'inputs 1\ninput 0 tensor 0 lo %s hi %s end int name ""\nnodes %d\n' "$lo" "$hi" "$nodes"
    cat
    printf 'outputs 1\noutput 0 tensor %d end int name "" tail none\nend\n' $((count - 1))
  } >"$dir/t.qir"
}
dense() { # bits, weight
  printf 'node 0 affine op "" layer 0 in 1 0 out 1\nwindow n 1 ih 1 iw 1 ic 1 oh 1 ow 1 oc 1 kh 1 kw 1 sh 1 sw 1 dh 1 dw 1 pt 0 pl 0 groups 1\n'
  printf 'acc wrap bits %d order kernel bias last form corrected\nx_zp 0\nw_zp 1 0\nb 0\nw\n%d\n' "$1" "$2"
}

dense 8 2 | net '1 1' -100 100 2 1
printf 'tensor 0 1 1\n-100 100\ntensor 1 1 1\n-128 127\nacc 0 8 open position\nverdict unknown\n' | cert -
expect 'a wrapping accumulator, open' 0 's CHECKED' "$dir/t.qir" - "$dir/t.qvc"
printf 'tensor 0 1 1\n-100 100\ntensor 1 1 1\n-128 127\nacc 0 8 harmless position\nverdict verified\n' | cert -
expect 'the range of a wrapped result does not make it harmless' 1 's REJECTED' "$dir/t.qir" - "$dir/t.qvc"
printf 'tensor 0 1 1\n-100 100\ntensor 1 1 1\n-100 100\nacc 0 8 harmless position\nlinear 0 lo 0 0\nlinear 0 hi 0 0\nverdict verified\n' | cert -
expect 'a linear row that proves less than it is used for' 1 's REJECTED' "$dir/t.qir" - "$dir/t.qvc"
printf 'tensor 0 1 1\n-50 50\ntensor 1 1 1\n-100 100\nacc 0 8 harmless position\nverdict verified\n' | cert -
expect 'an input narrower than its declaration' 1 's REJECTED' "$dir/t.qir" - "$dir/t.qvc"
printf 'qvp 1\nclaim overflow\nacc-bits 0\ninput 0 range -50 50\nend\n' >"$dir/t.qvp"
printf 'tensor 0 1 1\n-50 50\ntensor 1 1 1\n-100 100\nacc 0 8 harmless position\nverdict verified\n' | cert "$dir/t.qvp"
expect 'the same under a property' 0 's CHECKED' "$dir/t.qir" "$dir/t.qvp" "$dir/t.qvc"
expect 'the property left out' 1 's REJECTED' "$dir/t.qir" - "$dir/t.qvc"
printf 'qvp 1\nclaim overflow\nacc-bits 0\ninput 0 range -51 50\nend\n' >"$dir/other.qvp"
expect 'another property' 1 's REJECTED' "$dir/t.qir" "$dir/other.qvp" "$dir/t.qvc"
for p in 'acc-bits 1' 'acc-bits 65' 'acc-bits 08' 'acc-bits -0'; do
  printf 'qvp 1\nclaim overflow\n%s\ninput 0 all\nend\n' "$p" >"$dir/bad.qvp"
  expect "property with $p" 2 '' "$dir/t.qir" "$dir/bad.qvp" "$dir/t.qvc"
done
for p in 'input 0 range -101 0' 'input 0 range 1 0' 'input 0 elements 2' 'input 1 all' 'input 0 all ' 'input  0 all' 'input 0 elements 1'; do
  printf 'qvp 1\nclaim overflow\nacc-bits 0\n%s\nend\n' "$p" >"$dir/bad.qvp"
  expect "property with $p" 2 '' "$dir/t.qir" "$dir/bad.qvp" "$dir/t.qvc"
done

# Large tensors, little text: one evaluation per class, and memory that follows the text.
{
  printf 'node 0 clamp op "" layer 0 in 1 0 out 1\nclamp lo -5 hi 5\nnode 1 sum op "" layer 0 in 2 1 0 out 2\n'
  printf 'acc sat bits 8 order kernel bias last form corrected\nterms\n1 0\n-1 0\n'
} | net '2 16384 16384' -50 100 3 2
printf 'tensor 0 1 1\n-50 100\ntensor 1 1 1\n-5 5\ntensor 2 1 1\n-105 55\nacc 1 8 harmless position\nverdict verified\n' | cert -
(
  if ! grep -q __asan "$check"; then ulimit -v 50000; fi
  expect 'tensors of 2^28 elements in 50 MB' 0 's CHECKED' "$dir/t.qir" - "$dir/t.qvc"
  exit $failed
)
if [ $? = "$failed" ]; then passed=$((passed + 1)); else failed=$((failed + 1)); fi

# Linear rows cut `final` (stored cases net18: only where the claim is tighter; net19: one side alone). In each, the row proves 50 or 90.
variant() { # case, sed script on the certificate's lines: $dir/t.qvc and $dir/t.qvp
  cp "tests/check/cases/$1.qir" "$dir/t.qir"
  cp "tests/check/cases/$1.qvp" "$dir/t.qvp"
  sed -e '1,4d' -e '/^sha256/d' -e "$2" "tests/check/cases/$1.qvc" >"$dir/lines"
  cert "$dir/t.qvp" <"$dir/lines"
}
row() { # name, expected exit code, case, sed script
  variant "$3" "$4"
  if [ "$2" = 0 ]; then expect "$1" 0 's CHECKED' "$dir/t.qir" "$dir/t.qvp" "$dir/t.qvc"; else
    expect "$1" 1 's REJECTED' "$dir/t.qir" "$dir/t.qvp" "$dir/t.qvc"
  fi
}
row 'a row, one interval per position' 0 net18 's/^tensor 3 1 1/tensor 3 2 1/; s/^-100 50$/-70 30 -100 50/'
row 'a row that is one too large where it is needed' 1 net18 's/^-100 50$/-100 49/'
row 'a row, and a tighter claim where it proves less' 1 net18 's/^tensor 3 1 1/tensor 3 2 1/; s/^-100 50$/-70 29 -100 50/'
row 'a tighter end without its row' 1 net18 '/^linear/d'
row 'a tighter end with a row of the other side' 1 net18 's/^linear 2 hi/linear 2 lo/'
row 'a tighter lower end beside the row' 1 net18 's/^-100 50$/-99 50/'
row 'a row that is nowhere needed' 0 net18 's/^-100 50$/-100 100/'
row 'the upper side cut, the lower claim looser' 0 net19 's/^-60 90$/-128 90/'
row 'the upper side cut, the lower claim tighter without a row' 1 net19 's/^-60 90$/-59 90/'
row 'the upper side one too large' 1 net19 's/^-60 90$/-60 89/'
row 'the upper side cut too little to be harmless' 1 net19 's/^-60 90$/-60 128/'
row 'harmless by a row that is missing' 1 net19 '/^linear/d; s/^-60 90$/-128 127/'
row 'the image of the machine instead' 0 net19 '/^linear/d; s/^-60 90$/-128 127/; s/harmless/open/; s/verified/unknown/'
row 'a row does not tighten what is not harmless' 1 net19 's/^-60 90$/-128 130/; s/harmless/open/; s/verified/unknown/'
sed -i 's/acc wrap bits 8/acc wrap bits 7/' "$dir/t.qir"
for c in '-64 63' '-60 63' '-60 90' '-64 90'; do
  sed -e '1,4d' -e '/^sha256/d' -e "s/^-60 90\$/$c/; s/^acc 2 8 harmless/acc 2 7 open/; s/verified/unknown/" tests/check/cases/net19.qvc >"$dir/lines"
  cert "$dir/t.qvp" <"$dir/lines"
  expect "a row of a node that is not harmless, $c" 1 's REJECTED' "$dir/t.qir" "$dir/t.qvp" "$dir/t.qvc"
done
sed -i '/^linear/d; s/^-64 90$/-64 63/' "$dir/lines"
cert "$dir/t.qvp" <"$dir/lines"
expect 'the same without the row' 0 's CHECKED' "$dir/t.qir" "$dir/t.qvp" "$dir/t.qvc"

# A trap that may be sprung, but not at the width that the property asks about.
dense 8 2 | sed 's/acc wrap/acc trap/' | net '1 1' -100 100 2 1
printf 'qvp 1\nclaim overflow\nacc-bits 16\ninput 0 all\nend\n' >"$dir/t.qvp"
printf 'tensor 0 1 1\n-100 100\ntensor 1 1 1\n-128 127\nacc 0 16 harmless position\nverdict unknown\n' | cert "$dir/t.qvp"
expect 'a trap that may be sprung, unknown' 0 's CHECKED' "$dir/t.qir" "$dir/t.qvp" "$dir/t.qvc"
printf 'tensor 0 1 1\n-100 100\ntensor 1 1 1\n-128 127\nacc 0 16 harmless position\nverdict verified\n' | cert "$dir/t.qvp"
expect 'a trap that may be sprung, verified' 1 's REJECTED' "$dir/t.qir" "$dir/t.qvp" "$dir/t.qvc"

# The same for every mode. Stored case net20: node 0 overflows its own 8 bits but not the 16 of the property; in 16 bits node 1 would
# overflow on what node 0 then gives.
row 'harmless, but not at its own width, unknown' 0 net20 's/^verdict .*/verdict unknown/'
row 'harmless, but not at its own width, verified' 1 net20 's/^verdict .*/verdict verified/'
if grep -q 'node 0: verified, but not harmless at its own width' "$dir/out" "$dir/err"; then result 0 'for that reason'; else result 1 'for that reason'; fi

# ---- robustness, allocation -----------------------------------------------------------------------------------------------------------
. tests/check/robust.sh
. tests/check/cover.sh
. tests/check/alloc.sh

# ---- the contract ---------------------------------------------------------------------------------------------------------------------
a=(tests/check/cases/net00.qir - tests/check/cases/net00.qvc)
if [ -f tests/check/cases/net00.qvp ]; then a[1]=tests/check/cases/net00.qvp; fi
expect 'no arguments' 2 ''
expect 'two arguments' 2 '' "${a[0]}" "${a[1]}"
expect 'four arguments' 2 '' "${a[@]}" x
expect 'help is not success' 2 '' --help
expect 'no net' 2 '' /nonexistent "${a[1]}" "${a[2]}"
expect 'no property' 2 '' "${a[0]}" /nonexistent "${a[2]}"
expect 'no certificate' 2 '' "${a[0]}" "${a[1]}" /nonexistent
expect 'a folder for a net' 2 '' / "${a[1]}" "${a[2]}"
expect 'empty certificate' 1 's REJECTED' "${a[0]}" "${a[1]}" /dev/null
expect 'empty net' 2 '' /dev/null "${a[1]}" "${a[2]}"
"$check" "${a[@]}" >/dev/full 2>"$dir/err"
if [ $? != 0 ]; then result 0 'full standard output'; else result 1 'full standard output'; fi
"$check" "${a[@]}" >&- 2>"$dir/err"
if [ $? != 0 ]; then result 0 'closed standard output'; else result 1 'closed standard output'; fi
if ! grep -q __asan "$check"; then
  head -c 16000000 /dev/zero >"$dir/large"
  (
    ulimit -v 12000
    expect 'no memory' 2 '' "$dir/large" "${a[1]}" "${a[2]}"
    grep -q 'out of memory' "$dir/err"
  )
  if [ $? = 0 ]; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
fi

# Ill-formed and well-formed nets of the other tests, where they are: exit 2 for the former. Only what needs propagated ranges may pass.
printf 'x\n' >"$dir/x.qvc"
good=0
for f in tests/zoo/qir/*.qir tests/corpus/qir/*.qir; do
  if [ ! -f "$f" ]; then continue; fi
  case $f in tests/corpus/* | */table_cover.qir) want=1 ;; *) want=2 ;; esac
  timeout 60 "$check" "$f" - "$dir/x.qvc" >"$dir/out" 2>"$dir/err"
  if [ $? != $want ] || grep -qE 'AddressSanitizer|runtime error' "$dir/err"; then
    good=1
    echo "  $f: not exit $want"
  fi
done
result $good 'nets of the zoo and of the corpus'

# ---- mutants ----------------------------------------------------------------------------------------------------------------------------
if "${CC:-cc}" -std=c11 -D_GNU_SOURCE -O1 -o "$dir/mutate" tests/check/mutate.c check/sha256.c; then
  "$dir/mutate" sha256
  if [ $? = 0 ]; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
  for c in tests/check/cases/{net,rob}*.qvc; do
    if [ "$mutants" = 0 ]; then break; fi
    case_number=$((case_number + 1))
    n=${c%.qvc} p=- bytes=()
    if [ -f "$n.qvp" ]; then p=$n.qvp; fi
    case $n in *net0[012] | *rob0[07] | *rob33) bytes=(bytes) ;; esac
    if [ "$mutants" != all ] && [ ${#bytes[@]} = 0 ] && ((case_number % 4 != 0)); then continue; fi
    "$dir/mutate" "$check" "$dir/scratch" "$n.qir" "$p" "$c" "${bytes[@]}"
    if [ $? = 0 ]; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
  done
else
  result 1 'mutate.c does not compile'
fi

echo "$passed passed, $failed failed"
((failed == 0 && passed > 0))
