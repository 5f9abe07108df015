# Sourced by tests/cli/test_*.sh. Runs from the repository root; QVERIFY is the program under test, MODE its build.
# Every check prints one line "ok ...", "not ok ..." or "skip ...".
set -uo pipefail
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$ROOT"
QVERIFY=${QVERIFY:-$ROOT/build/release/qverify}
MODE=${MODE:-release}
TOOLS=$ROOT/build/$MODE/tests/tools
T=$(mktemp -d)
trap 'rm -rf "$T"' EXIT
unset LC_ALL LC_CTYPE
export LC_ALL=C LANG=C
bad=0

ok() { echo "ok $*"; }
not_ok() {
  echo "not ok $*"
  bad=1
}
skip() { echo "skip $*"; }

# t NAME EXIT ARGUMENTS...: run qverify; output in $T/out and $T/err. Fails on another exit code, on a sanitizer report, and when
# an error (1, 2, 3, 6) leaves no message or puts one on stdout.
t() {
  local name=$1 want=$2 rc
  shift 2
  "$QVERIFY" "$@" >"$T/out" 2>"$T/err" </dev/null
  rc=$?
  if ((rc != want)); then
    not_ok "$name: exit $rc, expected $want: qverify $*"
    head -n 5 "$T/err" | sed 's/^/  stderr: /'
    return 1
  fi
  if grep -qaE 'AddressSanitizer|runtime error|internal check failed' "$T/err"; then
    not_ok "$name: sanitizer"
    return 1
  fi
  case $rc in
  1 | 2 | 3 | 6)
    if [ ! -s "$T/err" ] || ! grep -qa '^qverify: ' "$T/err"; then
      not_ok "$name: no message"
      return 1
    fi
    if [ -s "$T/out" ] && [ "${1:-}" != check ]; then # (what the checker says is a result)
      not_ok "$name: an error must not print on stdout"
      return 1
    fi
    ;;
  esac
  ok "$name"
}

# has out|err NAME PATTERN: extended regular expression in the last run's stdout or stderr.
has() {
  if grep -qaE -- "$3" "$T/$1"; then ok "$2"; else
    not_ok "$2: /$3/ not in std$1:"
    head -n 10 "$T/$1" | sed 's/^/  /'
  fi
}
hasnt() { if grep -qaE -- "$3" "$T/$1"; then not_ok "$2: /$3/ in std$1"; else ok "$2"; fi; }

# check NAME COMMAND...: the command succeeds.
check() {
  local name=$1
  shift
  if "$@" >"$T/check.log" 2>&1; then ok "$name"; else
    not_ok "$name"
    head -n 10 "$T/check.log" | sed 's/^/  /'
  fi
}

valid_report() { check "$1: the report follows the schema" "$TOOLS/schema_check" docs/report.schema.json "$2"; }

# json FILE KEY: value of a top-level string or number of a report, as text.
json() { sed -nE "s/^  \"$2\": \"?([^\",]*)\"?,?\$/\1/p" "$1"; }

finish() { exit $bad; }

# Every pair of bytes: all inputs of a model with two of them.
all_pairs() { for a in $(seq 0 255); do for b in $(seq 0 255); do printf '\\%03o\\%03o' "$a" "$b"; done; done | while IFS= read -r -n 4096 s; do printf '%b' "$s"; done; }

# ---- models with answers that are known by hand ------------------------------------------------------------------------------

# u8 x[2] -> acc0 = -10 + x0 - 2 x1 in [-520,245], acc1 = 20 + 30 x0 + 127 x1 in [20,40055] (17 bits) -> y0 = ... int8 pair.
fc_model() { sed 's/end quant_even/end int/' tests/corpus/qir/small.qir; }

qir_head() { printf 'qir 1\nsource ""\nsha256 ""\nprofile ""\nformat "qir"\nnotes 0\n'; }

# One u8 element through two tables, y0 = floor(x*x/255) and y1 = 255 - y0, then acc = y0 + y1. The sum is always 255 (9 bits), but
# no linear bound on the tables can see it: with 9 bits it is neither proved nor refuted.
parabola_model() {
  qir_head
  cat <<'END'
tensors 5
tensor 0 name "x" type u8 dims 2 1 1 scale none const no
tensor 1 name "y0" type u8 dims 2 1 1 scale none const no
tensor 2 name "y1" type u8 dims 2 1 1 scale none const no
tensor 3 name "y" type u8 dims 2 1 2 scale none const no
tensor 4 name "acc" type i32 dims 2 1 1 scale none const no
inputs 1
input 0 tensor 0 lo 0 hi 255 end int name "x"
nodes 4
node 0 table op "SQUARE" layer 0 in 1 0 out 1
table lo 0 n 256
END
  awk 'BEGIN { printf "t"; for (x = 0; x < 256; x++) printf " %d", int(x * x / 255); print "" }'
  printf 'node 1 table op "REST" layer 1 in 1 0 out 2\ntable lo 0 n 256\n'
  awk 'BEGIN { printf "t"; for (x = 0; x < 256; x++) printf " %d", 255 - int(x * x / 255); print "" }'
  cat <<'END'
node 2 index op "CONCATENATION" layer 2 in 2 1 2 out 3
index concat axis 1
node 3 affine op "FULLY_CONNECTED" layer 3 in 1 3 out 4
window n 1 ih 1 iw 1 ic 2 oh 1 ow 1 oc 1 kh 1 kw 1 sh 1 sw 1 dh 1 dw 1 pt 0 pl 0 groups 1
acc wrap bits 32 order kernel bias last form corrected
x_zp 0
w_zp 1 0
b 0
w
1 1
outputs 1
output 0 tensor 4 end int name "acc" tail none
end
END
}

# The first model with an opaque operator behind it.
opaque_model() {
  fc_model | sed -e 's/^tensors 3/tensors 4/' -e '/^tensor 2/a tensor 3 name "z" type i8 dims 2 1 2 scale none const no' \
    -e 's/^nodes 2/nodes 3/' -e '/^outputs 1/i node 2 opaque op "MYSTERY" layer 1 in 1 2 out 3\nopaque lo -128 hi 127' \
    -e 's/^output 0 tensor 2/output 0 tensor 3/'
}

# One input that can only be 1, into a saturating 8-bit accumulator: 100, 200 (becomes 127), -37, -201 (becomes -128). Two steps
# saturate, the result -128 is right all the same.
saturating_model() {
  qir_head
  cat <<'END'
tensors 2
tensor 0 name "x" type i8 dims 2 1 4 scale none const no
tensor 1 name "acc" type i32 dims 2 1 1 scale none const no
inputs 1
input 0 tensor 0 lo 1 hi 1 end int name "x"
nodes 1
node 0 affine op "FULLY_CONNECTED" layer 0 in 1 0 out 1
window n 1 ih 1 iw 1 ic 4 oh 1 ow 1 oc 1 kh 1 kw 1 sh 1 sw 1 dh 1 dw 1 pt 0 pl 0 groups 1
acc sat bits 8 order kernel bias last form corrected
x_zp 0
w_zp 1 0
b 0
w
100 100 -164 -164
outputs 1
output 0 tensor 1 end int name "acc" tail none
end
END
}

# No accumulator at all.
copy_model() {
  qir_head
  printf 'tensors 1\ntensor 0 name "x" type i8 dims 2 1 3 scale 0x1p-1 zp 1 const no\ninputs 1\ninput 0 tensor 0 lo -128 hi 127 end int name "x"\n'
  printf 'nodes 0\noutputs 1\noutput 0 tensor 0 end dequant name "x" tail none\nend\n'
}

# Two inputs, two outputs: the sum (i16) and the first input.
two_model() {
  qir_head
  cat <<'END'
tensors 3
tensor 0 name "a" type i8 dims 2 1 2 scale none const no
tensor 1 name "b" type i8 dims 2 1 2 scale none const no
tensor 2 name "s" type i16 dims 2 1 2 scale none const no
inputs 2
input 0 tensor 0 lo -128 hi 127 end int name "a"
input 1 tensor 1 lo -128 hi 127 end int name "b"
nodes 1
node 0 sum op "ADD" layer 0 in 2 0 1 out 2
acc wrap bits 32 order kernel bias last form corrected
terms
1 0
1 0
outputs 2
output 0 tensor 2 end int name "s" tail none
output 1 tensor 0 end int name "a" tail none
end
END
}
