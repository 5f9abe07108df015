#!/usr/bin/env bash
# Install what is missing (Debian and Ubuntu packages). Where everything is there, nothing is installed and no network is used.
#   .ci/deps.sh [build] [fuzz] [tidy] [contrib]      default: build
set -euo pipefail

missing=()

# Can CC compile a program with this header and link it with these flags?
need_lib() { # package header flags...
  local pkg=$1 header=$2
  shift 2
  command -v "${CC:-gcc}" >/dev/null 2>&1 || return 0 # reported below
  printf '#include <stdarg.h>\n#include <stddef.h>\n#include <stdint.h>\n#include <setjmp.h>\n#include <%s>\nint main(void) { return 0; }\n' "$header" |
    "${CC:-gcc}" -x c - -o /dev/null "$@" 2>/dev/null || missing+=("$pkg")
}

need_tool() { # package tool
  command -v "$2" >/dev/null 2>&1 || missing+=("$1")
}

need_file() { # package file
  [ -e "$2" ] || missing+=("$1")
}

for what in "${@:-build}"; do
  case $what in
  build)
    need_tool gcc "${CC:-gcc}"
    need_tool binutils ar
    need_tool make make
    need_tool patch patch
    need_lib libc6-dev stdio.h
    need_lib libgmp-dev gmp.h -lgmp
    need_lib libcjson-dev cjson/cJSON.h -lcjson
    need_lib nettle-dev nettle/sha2.h -lnettle
    need_lib zlib1g-dev zlib.h -lz
    need_lib libzip-dev zip.h -lzip
    need_lib libcmocka-dev cmocka.h -lcmocka
    need_lib libprotobuf-c-dev protobuf-c/protobuf-c.h -lprotobuf-c
    need_tool protobuf-c-compiler protoc-c
    need_lib libz3-dev z3.h -lz3
    need_lib libglpk-dev glpk.h -lglpk
    need_lib libsqlite3-dev sqlite3.h -lsqlite3
    need_file libonnx-dev "${ONNX_PROTO:-/usr/include/onnx/onnx.proto}"
    ;;
  fuzz)
    need_tool clang clang
    if command -v clang >/dev/null 2>&1; then
      echo 'int LLVMFuzzerTestOneInput(const char *d, unsigned long n) { return d == 0 && n > 0; }' |
        clang -x c - -fsanitize=fuzzer,address -o /dev/null 2>/dev/null || missing+=(libclang-rt-dev)
    else missing+=(libclang-rt-dev); fi
    ;;
  tidy)
    need_tool clang-tidy clang-tidy
    need_tool clang-format clang-format
    ;;
  contrib)
    need_tool parallel parallel
    ;;
  *)
    echo "deps: unknown group $what" >&2
    exit 1
    ;;
  esac
done

# A compiler without libc cannot tell which libraries are there, so ask for all of them.
if printf '%s\n' "${missing[@]:-}" | grep -qxE 'gcc|libc6-dev'; then
  missing+=(libc6-dev libgmp-dev libcjson-dev nettle-dev zlib1g-dev libzip-dev libcmocka-dev libprotobuf-c-dev libz3-dev libglpk-dev libsqlite3-dev)
fi
if ((${#missing[@]} == 0)); then exit 0; fi

mapfile -t packages < <(printf '%s\n' "${missing[@]}" | sort -u)
echo "deps: missing ${packages[*]}" >&2
if ! command -v apt-get >/dev/null 2>&1; then
  echo "deps: no apt-get here; install these by hand" >&2
  exit 1
fi
sudo=()
if (($(id -u) != 0)); then sudo=(sudo); fi
export DEBIAN_FRONTEND=noninteractive
"${sudo[@]}" apt-get update -qq >&2
"${sudo[@]}" apt-get install -y -qq --no-install-recommends "${packages[@]}" >&2
