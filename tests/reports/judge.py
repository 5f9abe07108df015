"""Every report of tests/reports/run.sh before its judge, then mutants of it, each of which the judge has to refuse."""

import copy
import json
import os
import subprocess
import sys
import xml.etree.ElementTree as xml
from pathlib import Path

import junitparser
from google.protobuf import json_format
from in_toto_attestation.predicates.test_result.v0 import test_result_pb2
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.statement import Statement
from jsonschema import Draft202012Validator

root = Path(__file__).resolve().parents[2]
top = Path(sys.argv[1])
multitool = os.environ.get("SARIF_MULTITOOL")
bad = False
# case: verdict of each obligation that was selected, by hand
cases = {
    "pass": {"no-overflow": "VERIFIED", "no-saturating-pairs": "VERIFIED", "accuracy": "VERIFIED", "headroom": "VERIFIED"},
    "fail": {"fits-32-bits": "VERIFIED", "fits-16-bits": "FALSIFIED"},
    "open": {"proved": "VERIFIED", "open": "UNKNOWN"},
}


def say(name, good, why=""):
    global bad
    bad |= not good
    print(f"{'ok' if good else 'not ok'} {name}" + ("" if good else f": {why}"))


def refused(judge, doc):
    """What the judge says against doc, or None."""
    try:
        judge(doc)
    except Exception as e:  # whichever its library raises
        return str(e) or type(e).__name__
    return None


def paths(doc, at=()):
    """Every member of doc, by path: only the first element of a list."""
    for k in (doc if isinstance(doc, dict) else range(min(1, len(doc))) if isinstance(doc, list) else ()):
        yield at + (k,)
        yield from paths(doc[k], at + (k,))


def without(doc, path):
    doc = copy.deepcopy(doc)
    x = doc
    for k in path[:-1]:
        x = x[k]
    del x[path[-1]]
    return doc


def try_all(name, judge, doc, required):
    """doc is accepted; without any of the required members it is not."""
    why = refused(judge, doc)
    say(f"{name}: accepted", why is None, why)
    missed = [p for p in required if refused(judge, without(doc, p)) is None]
    say(f"{name}: {len(required)} mutants, all refused", required and not missed, f"accepted without {missed[:5]}")


# ---- our schemas -------------------------------------------------------------------------------------------------------------------------

def schema(name):
    text = json.loads((root / "docs" / name).read_text())
    Draft202012Validator.check_schema(text)
    return Draft202012Validator(text).validate


ci, job_report = schema("ci.schema.json"), schema("report.schema.json")
for case, verdicts in cases.items():
    doc = json.loads((top / f"{case}.json.out").read_text())
    required = [p for p in paths(doc) if isinstance(p[-1], str) and p[0] != "timing"]
    try_all(f"{case}: JSON", ci, doc, required)
    say(f"{case}: JSON: verdicts", {o["id"]: o["verdict"] for o in doc["obligations"]} == verdicts)
    say(f"{case}: JSON: an unknown member is refused", refused(ci, doc | {"extra": 1}) is not None)
    inner = [json.loads(f.read_text())["report"] for f in sorted((top / f"r-{case}").glob("*.json"))]
    inner = [r for r in inner if r is not None and r.get("schema") == "qverify-report/1"]
    wrong = [w for w in (refused(job_report, r) for r in inner) if w]
    say(f"{case}: {len(inner)} reports of jobs follow docs/report.schema.json", inner and not wrong, wrong[:1])

manifest_schema = root / "docs" / "ci-manifest.schema.json"
if manifest_schema.exists():
    judge = schema(manifest_schema.name)
    for case in ("pass", "fail"):
        doc = json.loads((root / f"examples/ci/{case}/qverify.json").read_text())
        try_all(f"{case}: manifest", judge, doc, [("format",), ("obligations",), ("obligations", 0, "id"), ("obligations", 0, "check")])

# ---- JUnit -------------------------------------------------------------------------------------------------------------------------------
# No registry has the one schema of JUnit. junitparser reads it; its own counts have to agree with those written.

KIND = {"VERIFIED": None, "FALSIFIED": junitparser.Failure, "UNKNOWN": junitparser.Error}


def junit(text):
    suites = junitparser.JUnitXml.fromstring(text)
    for suite, written in zip(suites, xml.fromstring(text).iter("testsuite"), strict=True):
        said = tuple(int(written.attrib[n]) for n in ("tests", "failures", "errors", "skipped"))
        suite.update_statistics()
        if said != (suite.tests, suite.failures, suite.errors, suite.skipped):
            raise ValueError(f"counts say {said}, the cases {(suite.tests, suite.failures, suite.errors, suite.skipped)}")
        if not suite.name or any(not c.name or not c.classname or c.time is None for c in suite):
            raise ValueError("a suite or case without name, class or time")
    return suites


for case, verdicts in cases.items():
    text = (top / f"{case}.xml").read_bytes()
    why = refused(junit, text)
    say(f"{case}: JUnit: accepted", why is None, why)
    found = {c.name: [type(r) for r in c.result] for s in junit(text) for c in s}
    want = {f"{i} {v}": [KIND[v]] if KIND[v] else [] for i, v in verdicts.items()}
    if case == "open":
        want["not-run"] = [junitparser.Skipped]
    say(f"{case}: JUnit: refuted is a failure, open an error, not selected skipped", found == want, found)
    missed = []
    for n, a in ((n, a) for n in ("testsuite", "testcase") for a in xml.fromstring(text).find(f".//{n}").attrib):
        mutant = xml.fromstring(text)
        del mutant.find(f".//{n}").attrib[a]
        if (n, a) != ("testsuite", "time") and refused(junit, xml.tostring(mutant)) is None:
            missed.append((n, a))
    say(f"{case}: JUnit: mutants refused", not missed, missed)
    say(f"{case}: JUnit: a cut-off file is refused", refused(junit, text[:-20]) is not None)

# ---- SARIF -------------------------------------------------------------------------------------------------------------------------------

def sarif(doc):
    """The multitool's notifications of errors: rules JSON1001, JSON1002 are the schema, SARIF1xxx what a schema cannot say."""
    (top / "in.sarif").write_text(json.dumps(doc))
    (top / "out.sarif").unlink(missing_ok=True)
    p = subprocess.run([multitool, "validate", top / "in.sarif", "--output", top / "out.sarif"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    lines = [line for line in p.stdout.splitlines() if ": error " in line]
    if p.returncode != 0 or lines or "Analysis completed successfully" not in p.stdout:
        raise ValueError(lines[0] if lines else p.stdout[-300:])


for case, verdicts in cases.items():
    doc = json.loads((top / f"{case}.sarif").read_text())
    kind = {"VERIFIED": ("pass", "none"), "FALSIFIED": ("fail", "error"), "UNKNOWN": ("open", "none")}
    found = {r["partialFingerprints"]["obligation/v1"]: (r["kind"], r["level"]) for r in doc["runs"][0]["results"]}
    say(f"{case}: SARIF: open is 'open', refuted 'fail', proved 'pass'", found == {i: kind[v] for i, v in verdicts.items()}, found)
    rules = {r["id"] for r in doc["runs"][0]["tool"]["driver"]["rules"]}
    say(f"{case}: SARIF: every result's rule is declared", all(r["ruleId"] in rules for r in doc["runs"][0]["results"]))
    if multitool:
        run = ("runs", 0)
        required = [("version",), ("runs",), run + ("tool",), run + ("tool", "driver"), run + ("tool", "driver", "name"), run + ("results", 0, "message"),
                    run + ("results", 0, "message", "text"), run + ("tool", "driver", "rules", 0, "id"), run + ("invocations", 0, "executionSuccessful")]
        try_all(f"{case}: SARIF", sarif, doc, required if case == "fail" else required[:2])

# ---- in-toto -----------------------------------------------------------------------------------------------------------------------------

def intoto(doc):
    Statement.copy_from_pb(json_format.ParseDict(doc, statement_pb2.Statement())).validate()
    if doc["predicateType"] != "https://in-toto.io/attestation/test-result/v0.1":
        raise ValueError("another predicate")
    p = json_format.ParseDict(doc["predicate"], test_result_pb2.TestResult())
    # What the text of the predicate requires; protobuf has no required fields.
    if p.result not in ("PASSED", "WARNED", "FAILED") or not p.configuration or any(not c.digest for c in p.configuration):
        raise ValueError("result or configuration")


for case, verdicts in cases.items():
    doc = json.loads((top / f"{case}.intoto.json").read_text())
    required = [("_type",), ("subject",), ("subject", 0, "digest"), ("subject", 0, "digest", "sha256"), ("predicateType",), ("predicate",), ("predicate", "result"), ("predicate", "configuration"),
                ("predicate", "configuration", 0, "digest")]
    try_all(f"{case}: in-toto", intoto, doc, required)
    say(f"{case}: in-toto: an unknown member is refused", refused(intoto, doc | {"predicate": doc["predicate"] | {"openTests": []}}) is not None)
    p = doc["predicate"]
    want = ("PASSED" if case == "pass" else "FAILED", [i for i, v in verdicts.items() if v == "VERIFIED"], [i for i, v in verdicts.items() if v != "VERIFIED"], [])
    say(f"{case}: in-toto: open is failed, the result {want[0]}", (p["result"], p["passedTests"], p["failedTests"], p.get("warnedTests", [])) == want, p)
sys.exit(bad)
