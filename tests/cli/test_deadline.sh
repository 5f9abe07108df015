#!/bin/bash
# --timeout is kept in every phase of a search on large nets. Other load on the machine must not decide: a preloaded clock lets the
# program see the processor time it has used instead of the time of day, so that a phase that does not look at the clock shows as
# processor time beyond the limit. (What waits for other processes is tested by time: tests/test_smt.c, tests/cli/test_robust.sh.)
. "$(dirname "$0")/lib.sh"
DATA=${QV_DATA:-../shared/data}

cat >"$T/clock.c" <<'C'
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
int clock_gettime(clockid_t id, struct timespec *t) {
  return (int)syscall(SYS_clock_gettime, id == CLOCK_MONOTONIC ? CLOCK_PROCESS_CPUTIME_ID : id, t);
}
C
if [ "$MODE" != release ] && [ "$MODE" != debug ]; then
  skip "deadlines: a sanitizer does not share a preloaded clock"
  finish
fi
if ! ${CC:-cc} -D_GNU_SOURCE -shared -fPIC -O1 -o "$T/clock.so" "$T/clock.c" 2>"$T/err"; then
  skip "deadlines: no shared library can be built: $(head -n 1 "$T/err")"
  finish
fi

# within NAME MODEL SAMPLE_BYTES TIMEOUT ARGUMENTS...: UNKNOWN for lack of time, or an answer, and at most 0.5 s beyond the limit in all
within() {
  local name=$1 model=$2 bytes=$3 limit=$4 used
  shift 4
  head -c "$bytes" /dev/zero | tr '\0' '\7' >"$T/x.bin"
  LD_PRELOAD="$T/clock.so" "$QVERIFY" robust "$DATA/$model" -i "$T/x.bin" --timeout "$limit" -t 1 --no-check "$@" >"$T/out" 2>"$T/err"
  case $? in
  0 | 5 | 10) ;;
  *)
    not_ok "$name: $(head -n 1 "$T/err")"
    return
    ;;
  esac
  used=$(sed -n 's/.* of [0-9]* in \([0-9.]*\) s (.*/\1/p' "$T/out")
  if awk -v u="${used:-9}" -v l="$limit" 'BEGIN { exit !(u <= l + 0.5) }'; then ok "$name, $limit s: ${used} s of processor time"
  else not_ok "$name: ${used:-no} s of processor time at a limit of $limit s"; fi
}

if [ ! -d "$DATA/tflite" ]; then
  skip "deadlines: no $DATA/tflite"
  finish
fi
for limit in 0.02 0.15 0.3 0.6 1; do # building, intervals, attack, bounds, branching, each cut off somewhere
  within "ResNet-8" tflite/mlperf_tiny/pretrainedResnet_quant.tflite 3072 "$limit" --eps 1 --engine all -p tflite-double
done
for limit in 0.02 0.2 1; do
  within "keyword spotting" tflite/mlperf_tiny/kws_ref_model.tflite 490 "$limit" --eps 1 -p tflite-ruy-x86
  within "mnist_resnet" tflite/tinymaix/mnist_resnet_q.tflite 784 "$limit" --eps 1 -p tflite-double
done
within "ResNet-8, attack alone" tflite/mlperf_tiny/pretrainedResnet_quant.tflite 3072 0.5 --eps 1 --engine attack -p tflite-double
within "ResNet-8, linear bounds alone" tflite/mlperf_tiny/pretrainedResnet_quant.tflite 3072 0.5 --eps 1 --engine linear -p tflite-double
within "ResNet-8, branching alone" tflite/mlperf_tiny/pretrainedResnet_quant.tflite 3072 0.5 --eps 1 --engine bnb -p tflite-double
within "ResNet-8, enumeration" tflite/mlperf_tiny/pretrainedResnet_quant.tflite 3072 0.4 --eps 20 --patch 1x1@3,3 --engine enumerate -p tflite-double
finish
