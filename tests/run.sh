#!/usr/bin/env bash
# The test suite behind `make check`: everything is built already. Runs from the repository root; last line
# "N passed, N failed, N skipped", exit 0 only if nothing failed and something passed.
#   tests/run.sh            all sections
#   tests/run.sh SECTION..  some of: layers units corpus checker cli install readme
set -uo pipefail
cd "$(dirname "$0")/.."
export LC_ALL=C.UTF-8

logs=build/logs
jobs=${QV_JOBS:-$(nproc 2>/dev/null || echo 2)}

# One cmocka program: log, and "passed failed skipped" counted from its own report. A crash, a timeout or an empty run is a failure.
if [ "${1:-}" = --one ]; then
  prog=$2
  name=${prog#build/}
  name=${name//\//_}
  timeout "${QV_TEST_TIMEOUT:-900}" "$prog" >"$logs/$name.log" 2>&1
  rc=$?
  count() { sed -n "s/^\[  $1 \] \([0-9]*\) test(s).*/\1/p" "$logs/$name.log" | awk '{n += $1} END {print n + 0}'; }
  p=$(count 'PASSED ') f=$(count 'FAILED ') s=$(count 'SKIPPED')
  if ((rc != 0 && f == 0)); then f=1; fi
  if ((p + f + s == 0)); then f=1; fi
  echo "$p $f $s" >"$logs/$name.count"
  if ((f > 0)); then
    echo "FAILED $prog (exit $rc)"
    if ((rc == 124)); then echo "  timeout"; fi
    grep -aE '^\[  FAILED|^\[   LINE|ERROR: |error: |runtime error|AddressSanitizer|SUMMARY|Assertion' "$logs/$name.log" | head -n 20 | sed 's/^/  /'
  else
    printf 'ok     %s: %d passed%s\n' "$prog" "$p" "$( ((s > 0)) && echo ", $s skipped")"
  fi
  grep -a '^SKIPPED' "$logs/$name.log" | sort -u
  exit 0
fi

passed=0 failed=0 skipped=0
mkdir -p "$logs"
rm -f "$logs"/*

# Lines "ok ...", "not ok ...", "skip ..." from a script; any other line is shown as it is. A script that ends badly without a
# "not ok" line, or that says nothing, has failed.
tally() { # name, command...
  local name=$1 p f s rc
  shift
  "$@" >"$logs/$name.log" 2>&1
  rc=$?
  p=$(grep -acE '^ok ' "$logs/$name.log") f=$(grep -acE '^not ok ' "$logs/$name.log") s=$(grep -acE '^skip ' "$logs/$name.log")
  if ((rc != 0 && f == 0)) || ((p + f + s == 0)); then
    f=$((f + 1))
    echo "not ok $name ended with exit $rc"
    tail -n 20 "$logs/$name.log" | sed 's/^/  /'
  fi
  grep -avE '^ok ' "$logs/$name.log" | head -n 60
  printf '%-6s %s: %d passed%s\n' "$( ((f > 0)) && echo FAILED || echo ok)" "$name" "$p" "$( ((s > 0)) && echo ", $s skipped")"
  passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
}

layers() {
  echo "== layers"
  if tests/layers.sh; then
    passed=$((passed + 1))
    echo "ok     layers"
  else failed=$((failed + 1)); fi
}

units() {
  local mode progs=() c p f s
  for mode in release san; do
    echo "== unit tests, $mode"
    mapfile -t progs < <(for t in tests/test_*.c; do echo "build/$mode/${t%.c}"; done)
    printf '%s\n' "${progs[@]}" | xargs -P "$jobs" -n 1 tests/run.sh --one
    for t in "${progs[@]}"; do
      c=${t#build/}
      if read -r p f s <"$logs/${c//\//_}.count"; then
        passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
      else failed=$((failed + 1)); fi
    done
  done
}

# Every stored input through every parser under the sanitizers.
corpus() {
  local t dirs=()
  echo "== corpus replay"
  for d in tests/corpus tests/zoo; do if [ -d $d ]; then dirs+=("$d"); fi; done
  for t in tests/fuzz/fuzz_*.c; do
    t=$(basename "$t" .c)
    if timeout 600 "build/san/tests/fuzz/$t" "${dirs[@]}" >"$logs/$t.log" 2>&1; then
      passed=$((passed + 1))
      echo "ok     $t: $(tail -n 1 "$logs/$t.log")"
    else
      failed=$((failed + 1))
      echo "FAILED $t"
      tail -n 30 "$logs/$t.log" | sed 's/^/  /'
    fi
  done
}

cli() {
  local mode t
  for mode in release san; do
    echo "== command line, $mode"
    for t in tests/cli/test_*.sh; do QVERIFY=$PWD/build/$mode/qverify MODE=$mode tally "cli_${mode}_$(basename "$t" .sh)" bash "$t"; done
  done
}

# The independent checker, with tests of its own.
checker() {
  echo "== checker"
  CHECK=build/release/qverify-check tally check_release bash tests/check/run.sh
  CHECK=build/san/qverify-check MUTANTS=0 tally check_san bash tests/check/run.sh
}

install() {
  echo "== install"
  tally install bash tests/cli/install.sh
}

readme() {
  echo "== README commands"
  tally readme bash tests/cli/readme.sh
}

for s in "${@:-all}"; do
  case $s in
  all) layers; units; corpus; checker; cli; install; readme ;;
  layers | units | corpus | checker | cli | install | readme) "$s" ;;
  *) echo "run.sh: unknown section $s" >&2; exit 1 ;;
  esac
done
echo "$passed passed, $failed failed, $skipped skipped"
((failed == 0 && passed > 0))
