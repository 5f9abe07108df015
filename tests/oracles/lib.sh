# Sourced by the oracle scripts. Runtimes come from package registries and go into a throw-away folder.
#   ORACLE_DIR     the folder       (${TMPDIR:-/tmp}/qverify-oracles-UID); installations found there are used again
#   ORACLE_MODELS  models per kind  (6)
#   ORACLE_SEED    seed             (1)
#   ORACLE_KINDS   patterns of kinds, for example 'mean_* conv_*' (all)
#   ORACLE_VERBOSE not empty: also list the kinds without differences
#   QVERIFY        the program      (./qverify)
# Exit status of a script: 0 no difference, 1 differences, 77 nothing could be compared.
# shellcheck shell=sh disable=SC2034
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
dir=${ORACLE_DIR:-${TMPDIR:-/tmp}/qverify-oracles-$(id -u)}
qverify=${QVERIFY:-$root/qverify}

say() { echo "oracles: $*"; }
skip() { echo "oracles: SKIPPED: $*"; }

[ -x "$qverify" ] || { say "$qverify is not there; run make first"; exit 1; }
mkdir -p "$dir" || exit 1

# The first of the named interpreters that runs and can make a virtual environment.
python() {
  for p in "$@"; do
    "$p" -c 'import venv, ensurepip' >/dev/null 2>&1 && { echo "$p"; return 0; }
  done
  return 1
}

# install NAME MODULE PYTHON REQUIREMENT...: a virtual environment $dir/NAME in which MODULE can be imported.
install() {
  name=$1 module=$2 py=$3
  shift 3
  "$dir/$name/bin/python" -c "import $module" >/dev/null 2>&1 && return 0
  say "installing $* ($py)"
  rm -rf "${dir:?}/$name"
  "$py" -m venv "$dir/$name" >"$dir/$name.log" 2>&1 &&
    "$dir/$name/bin/pip" install -q --disable-pip-version-check "$@" >>"$dir/$name.log" 2>&1 &&
    "$dir/$name/bin/python" -c "import $module" >>"$dir/$name.log" 2>&1 && return 0
  skip "$name could not be installed, see $dir/$name.log"
  return 1
}
