#!/usr/bin/env bash
# The GitHub and GitLab templates and the BenchExec module, with tools from the Python registry in a throw-away environment
# (tests/oracles/lib.sh says where): schemas of check-jsonschema, PyYAML, BenchExec. Skipped loudly where these cannot be had.
. "$(dirname "$0")/lib.sh"
trap 'rm -rf "$T"' EXIT
dir=${ORACLE_DIR:-${TMPDIR:-/tmp}/qverify-oracles-$(id -u)}
venv=$dir/contrib
mkdir -p "$dir"
if ! "$venv/bin/python" -c 'import check_jsonschema, yaml, benchexec' 2>/dev/null; then
  rm -rf "${venv:?}"
  if ! { python3 -m venv "$venv" && "$venv/bin/pip" install -q --disable-pip-version-check check-jsonschema PyYAML benchexec; } >"$dir/contrib.log" 2>&1; then
    skip "contrib: THE PYTHON TOOLS COULD NOT BE INSTALLED, see $dir/contrib.log"
    exit 0
  fi
fi
cd "$ROOT" || exit 1
check() { "$venv/bin/check-jsonschema" "$@"; }
github=contrib/github/qverify.yml gitlab=contrib/gitlab/.gitlab-ci.yml
lab=(--builtin-schema vendor.gitlab-ci --data-transform gitlab-ci)
expect 'GitHub: follows the schema of workflows' 0 check --builtin-schema vendor.github-workflows "$github"
expect 'GitLab: follows the schema of GitLab CI' 0 check "${lab[@]}" "$gitlab"
# Would these notice?
sed 's/runs-on:/run-on:/' "$github" >"$T/hub.yml"
expect 'GitHub: a misspelt member is noticed' 1 check --builtin-schema vendor.github-workflows "$T/hub.yml"
sed 's/stage: work/stages: work/' "$gitlab" >"$T/lab.yml"
expect 'GitLab: a misspelt member is noticed' 1 check "${lab[@]}" "$T/lab.yml"

"$venv/bin/python" tests/contrib/pipeline.py "$T/pipeline" || bad=1

# ---- BenchExec --------------------------------------------------------------------------------------------------------------------------
export PYTHONPATH=$ROOT
be() { (cd "${QVERIFY%/*}" && PATH=$PWD:$PATH "$venv/bin/python" -m benchexec.test_tool_info "$@"); }
expect 'BenchExec: test_tool_info' 0 be contrib.benchexec.qverify --no-container
cp "$T/log" "$T/info"
for want in 'Name of tool: “qverify”' 'Version: “[0-9]' 'Executable.*: “.*qverify”'; do
  if grep -q "$want" "$T/info"; then ok "BenchExec: ${want%%:*}"; else
    not_ok "BenchExec: no '$want'"
    head -n 30 "$T/info"
  fi
done
# An absolute path comes from PATH here; what is asked is said by options, not by the property file.
odd=$(grep -E 'WARNING|ERROR' "$T/info" | grep -vE 'executable is absolute|ignores property file')
if [ -n "$odd" ]; then not_ok "BenchExec: ${odd%%$'\n'*}"; else ok 'BenchExec: no other warning'; fi
"$venv/bin/python" tests/contrib/benchexec_results.py || bad=1
# The definition, run for good; without a container and cgroups its limits may be refused, which is no fault of the module.
PATH=${QVERIFY%/*}:$PATH timeout 120 "$venv/bin/benchexec" --no-container -o "$T/be/" contrib/benchexec/qverify.xml >"$T/log" 2>&1
if grep -qE '^ *correct: +4$' "$T/log"; then ok 'BenchExec: 4 runs, 4 correct'; elif grep -q 'correct' "$T/log"; then
  not_ok 'BenchExec: not 4 of 4 correct'
  sed 's/^/  /' "$T/log"
else skip "BenchExec: NOT RUN HERE: $(grep -vE '^$' "$T/log" | tail -n 1)"; fi
exit $bad
