#!/bin/sh
# install_tool.sh v1: build qverify from this tree.
set -eu
[ "${1:-}" = v1 ] || { echo "install_tool.sh: expected v1" >&2; exit 1; }
cd "$(dirname "$0")/../.."
make deps all
./qverify --version
