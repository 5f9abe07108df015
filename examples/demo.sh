#!/usr/bin/env bash
# The main job on a small classifier, in seconds: look at it, run it, prove its accumulators, refute narrower ones.
set -euo pipefail
cd "$(dirname "$0")/.."
cex=$(mktemp --suffix=.npy)
trap 'rm -f "$cex"' EXIT

# Show a command, run it, and insist on its exit code.
step() { # expected code, title, command...
  local want=$1 rc=0
  printf '\n# %s\n$ %s\n' "$2" "${*:3}"
  "${@:3}" || rc=$?
  echo "(exit $rc)"
  if ((rc != want)); then
    echo "demo: expected exit $want" >&2
    exit 1
  fi
}

s=examples/shapes
step 0 'A small int8 classifier' ./qverify info $s/shapes.tflite
step 0 'Execute it bit for bit on 200 test images' ./qverify run $s/shapes.tflite --input $s/test_images.npy --labels $s/test_labels.txt
step 0 'Prove that no 32-bit accumulator overflows, for every image there is' ./qverify overflow $s/shapes.tflite
step 10 'A second net: 200 test images stay within 16 bits, but not every image does' \
  ./qverify overflow $s/wide.tflite --acc-bits 16 --cex "$cex"
step 0 'The image that was found is an input like any other' ./qverify run $s/wide.tflite --input "$cex" --output /dev/null
echo
echo "demo: all as expected"
