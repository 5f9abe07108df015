#!/usr/bin/env bash
# Plants a soundness bug in a copy of the prover, one at a time, and demands that the independent checker rejects one of its
# certificates. The sources here are not touched. Needs `make all tests` (its objects are linked). Run from anywhere.
#   tests/planted/run.sh [BUG..]      default: every tests/planted/*.patch
# One line per bug: "ok NAME: ..." or "not ok NAME: ..."; exit 0 only if all were caught and the unpatched prover was not.
set -uo pipefail
cd "$(dirname "$0")/../.."
export LC_ALL=C
B=build/release CC=${CC:-gcc} N=${QV_PLANTED_NETS:-1500}
FLAGS="-std=c11 -D_GNU_SOURCE -DQV_NO_ASSERT -I. -O1 -ffp-contract=off -fno-fast-math -w"
LIBS="$B/libtest.a $B/libqverify.a -lcmocka -lcjson -lnettle -lzip -lz -lprotobuf-c -lgmp -lm -pthread"
export QV_CHECKER=${QV_CHECKER:-$B/qverify-check}
bad=0
dir=$(mktemp -d) || exit 2
trap 'rm -rf "$dir"' EXIT

fail() { # name, text
  echo "not ok $1: $2"
  bad=1
}

for f in $B/libqverify.a $B/libtest.a $QV_CHECKER; do
  [ -e "$f" ] || { echo "not ok planted: $f is missing; run make first"; exit 2; }
done
$CC $FLAGS -c tests/planted/hunt.c -o "$dir/hunt.o" || exit 2
$CC $FLAGS -c tests/planted/robust_hunt.c -o "$dir/robust_hunt.o" || exit 2
$CC $FLAGS -c tests/planted/error_hunt.c -o "$dir/error_hunt.o" || exit 2

# Objects before the archives replace the archive's members of the same name.
hunt() { # name, arguments of hunt, objects...
  local name=$1 args=$2 text with=hunt
  case $name in
  robust*) with=robust_hunt ;; # robustness proofs instead of overflow proofs
  error*) with=error_hunt ;;   # error bounds against executed inputs
  esac
  shift 2
  $CC -o "$dir/hunt" "$dir/$with.o" "$@" $LIBS 2>"$dir/log" || { fail "$name" "does not link: $(head -n 1 "$dir/log")"; return; }
  if text=$("$dir/hunt" $args 2>&1); then echo "ok $name: $text"; else fail "$name" "$text"; fi
}

plant() { # patch file
  local name src
  name=$(basename "$1" .patch)
  src=$(sed -n 's|^+++ b/||p' "$1")
  case $src in *.c) ;; *) fail "$name" "one .c file a patch"; return ;; esac
  rm -rf "$dir/src"
  mkdir -p "$dir/src/$(dirname "$src")"
  cp "$src" "$dir/src/$src"
  patch -s -d "$dir/src" -p1 <"$1" >"$dir/log" 2>&1 || { fail "$name" "the patch does not apply to $src any more"; return; }
  $CC $FLAGS -c "$dir/src/$src" -o "$dir/bug.o" 2>"$dir/log" || { fail "$name" "does not compile: $(head -n 1 "$dir/log")"; return; }
  hunt "$name" "$N" "$dir/bug.o"
}

hunt "no bug" "300 --none"
hunt "robust: no bug" "300 --none"
hunt "error: no bug" "300 --none"
if (($# == 0)); then set -- tests/planted/*.patch; else set -- "${@/#/tests/planted/}" && set -- "${@/%/.patch}"; fi
for p in "$@"; do plant "$p"; done
exit $bad
