#!/usr/bin/env bash
# The test suite behind `make check`: everything is built already. Runs from the repository root; last line
# "N passed, N failed, N skipped", exit 0 only if nothing failed and something passed.
#   tests/run.sh            all sections
#   tests/run.sh SECTION..  some of: layers units corpus checker cli install readme
# All jobs of all sections go through one pool of QV_JOBS workers, the long ones first; build/logs/times.txt has the seconds of each.
set -uo pipefail
cd "$(dirname "$0")/.."
export LC_ALL=C.UTF-8

logs=build/logs
jobs=${QV_JOBS:-$(nproc 2>/dev/null || echo 2)}

# A cmocka program: its own report is counted.
run_unit() { # log, program
  timeout "${QV_TEST_TIMEOUT:-900}" "$2" >"$1" 2>&1
  rc=$?
  count() { sed -n "s/^\[  $2 \] \([0-9]*\) test(s).*/\1/p" "$1" | awk '{n += $1} END {print n + 0}'; }
  p=$(count "$1" 'PASSED ') f=$(count "$1" 'FAILED ') s=$(count "$1" 'SKIPPED')
}

# A script: lines "ok ...", "not ok ...", "skip ..." are counted.
run_script() { # log, command...
  local log=$1
  shift
  timeout "${QV_TEST_TIMEOUT:-1800}" "$@" >"$log" 2>&1
  rc=$?
  p=$(grep -acE '^ok ' "$log") f=$(grep -acE '^not ok ' "$log") s=$(grep -acE '^skip ' "$log")
}

# Any other program passes by its exit code.
run_plain() { # log, command...
  local log=$1
  shift
  timeout 600 "$@" >"$log" 2>&1
  rc=$? s=0
  p=$((rc == 0)) f=$((rc != 0))
}

# One job: "passed failed skipped" into its .count file. A crash, a timeout or an empty run is a failure.
if [ "${1:-}" = --one ]; then
  kind=$2 name=$3
  shift 3
  log=$logs/$name.log begin=$(date +%s)
  "run_$kind" "$log" "$@"
  if ((rc != 0 && f == 0)); then f=1; fi
  if ((p + f + s == 0)); then f=1; fi
  echo "$p $f $s" >"$logs/$name.count"
  echo "$(($(date +%s) - begin)) $name" >>"$logs/times.txt"
  said=
  if ((s > 0)); then said=", $s skipped"; fi
  if [ "$kind" = plain ] && [ -s "$log" ]; then said=" ($(tail -n 1 "$log" | head -c 100))"; fi
  if ((f > 0)); then
    echo "FAILED $name (exit $rc$( ((rc == 124)) && echo ', timeout'))"
    grep -aE -A 12 '^not ok |^\[  FAILED|^\[   LINE|ERROR: |error: |runtime error|AddressSanitizer|SUMMARY|Assertion' "$log" | head -n 60 | sed 's/^/  /'
    if [ "$kind" != unit ] && ! grep -qa '^not ok ' "$log"; then tail -n 20 "$log" | sed 's/^/  /'; fi
  else
    echo "ok     $name: $p passed$said"
  fi
  grep -aE '^SKIPPED|^skip ' "$log" | sort -u
  exit 0
fi

mkdir -p "$logs"
rm -f "$logs"/*
plan=$logs/plan
: >"$plan"
# A job: how long it usually takes (s, only for the order), how it is counted, its name, its command.
job() { (IFS=$'\t' && echo "$*") >>"$plan"; }

long() { # seconds that matter: measured on two cores
  case $1 in
  check_release) echo 140 ;;
  check_san | cli_san_test_robust | cli_san_test_allocate | cli_san_test_ci | release_test_cert | san_test_cert) echo 90 ;;
  san_* | cli_san_* | readme) echo 30 ;;
  *) echo 10 ;;
  esac
}
add() { # kind, name, command...
  job "$(long "$2")" "$@"
}

layers() { add plain layers tests/layers.sh; }

units() {
  local mode t
  for mode in release san; do
    for t in tests/test_*.c; do add unit "${mode}_$(basename "$t" .c)" "build/$mode/${t%.c}"; done
  done
}

# Every stored input through every parser under the sanitizers.
corpus() {
  local t dirs=()
  for d in tests/corpus tests/zoo; do if [ -d $d ]; then dirs+=("$d"); fi; done
  for t in tests/fuzz/fuzz_*.c; do
    t=$(basename "$t" .c)
    add plain "$t" "build/san/tests/fuzz/$t" "${dirs[@]}"
  done
}

cli() {
  local mode t
  for mode in release san; do
    for t in tests/cli/test_*.sh; do
      add script "cli_${mode}_$(basename "$t" .sh)" env "QVERIFY=$PWD/build/$mode/qverify" "MODE=$mode" bash "$t"
    done
  done
}

# The independent checker, with tests of its own.
checker() {
  add script check_release env CHECK=build/release/qverify-check bash tests/check/run.sh
  add script check_san env CHECK=build/san/qverify-check MUTANTS=0 bash tests/check/run.sh
}

install() { add script install bash tests/cli/install.sh; }
readme() { add script readme bash tests/cli/readme.sh; }

for s in "${@:-all}"; do
  case $s in
  all) layers; units; corpus; checker; cli; install; readme ;;
  layers | units | corpus | checker | cli | install | readme) "$s" ;;
  *) echo "run.sh: unknown section $s" >&2; exit 1 ;;
  esac
done

sort -s -rn "$plan" | cut -f 2- >"$logs/queue"
xargs -P "$jobs" -d '\n' -n 1 -a "$logs/queue" bash -c 'IFS=$'"'\\t'"' read -r -a a <<<"$0"; exec tests/run.sh --one "${a[@]}"'

passed=0 failed=0 skipped=0
while IFS=$'\t' read -r _ _ name _; do
  if read -r p f s <"$logs/$name.count"; then
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
  else
    echo "FAILED $name did not finish"
    failed=$((failed + 1))
  fi
done <"$plan"
echo "slowest: $(sort -rn "$logs/times.txt" | head -n 8 | awk '{printf "%s%s %s s", (NR > 1 ? ", " : ""), $2, $1}')"
echo "$passed passed, $failed failed, $skipped skipped"
((failed == 0 && passed > 0))
