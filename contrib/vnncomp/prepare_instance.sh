#!/bin/sh
# prepare_instance.sh v1 CATEGORY ONNX VNNLIB: nothing is prepared; unreadable files are refused.
set -eu
[ $# -eq 4 ] && [ "$1" = v1 ] || { echo "prepare_instance.sh: expected v1 CATEGORY ONNX VNNLIB" >&2; exit 1; }
for f in "$3" "$4"; do
  [ -r "$f" ] || { echo "prepare_instance.sh: cannot read $f" >&2; exit 1; }
done
