"""Executes the scripts of the GitHub and GitLab templates here, job by job in folders of their own, with artifacts handed on as these services do it.

What they install or build is stubbed (apt-get, git clone, make: the program under test is put where make would put it); every other
command is what the template says, run by bash -e as GitHub does, by bash -eo pipefail as GitLab does.
"""

import itertools
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

root = Path(__file__).resolve().parents[2]
program = Path(os.environ["QVERIFY"])
top = Path(sys.argv[1])
bad = False


def check(name, got, want):
    global bad
    bad |= got != want
    print(f"{'ok' if got == want else 'not ok'} {name}" + ("" if got == want else f": {got}, expected {want}"))


def stubs():
    d = top / "stubs"
    d.mkdir(parents=True)
    texts = {
        "apt-get": "exit 0",
        "git": 'for last; do :; done\ncase "$*" in clone*) mkdir -p "$last/build/release" ;; esac',
        "make": f'case "$*" in *progs*) cp "{program}" "{program.parent}/qverify-check" "$2/build/release/" ;; esac',
    }
    for name, text in texts.items():
        (d / name).write_text("#!/bin/sh\n" + text + "\n")
        (d / name).chmod(0o755)
    return d


def sh(script, cwd, env, options):
    base = {"PATH": f"{top / 'stubs'}:/usr/bin:/bin", "HOME": str(cwd), "LC_ALL": "C"}
    p = subprocess.run(["bash", *options, "-c", script], cwd=cwd, env=base | env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, stdin=subprocess.DEVNULL)
    return p.returncode, p.stdout


def checkout(where):
    where.mkdir(parents=True)
    shutil.copytree(root / "examples", where / "examples")
    return where


def copy_into(src, dst):
    if src.is_dir():
        shutil.copytree(src, dst, dirs_exist_ok=True)
    elif src.exists():
        dst.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(src, dst)


# ---- GitHub ----------------------------------------------------------------------------------------------------------------------------

def expand(text, values):
    out = re.sub(r"\$\{\{\s*(.*?)\s*\}\}", lambda m: str(values[m.group(1)]), str(text))
    return out


def github_job(flow, name, job, where, store, values, lost, extra):
    """0 if every step succeeded; steps after a failed one run only with `if: always()`."""
    checkout(where)
    failed, temp = 0, where.parent / (where.name + ".temp")
    temp.mkdir()
    for k, step in enumerate(job["steps"]):
        if failed and step.get("if") != "always()":
            continue
        given = {n: expand(v, values) for n, v in step.get("with", {}).items()}
        uses = step.get("uses", "").split("@")[0]
        if uses == "actions/upload-artifact":
            if given["name"] in lost:
                continue
            box = store / given["name"]
            names = given["path"].split()
            for n in names:
                for f in where.glob(n):
                    copy_into(f, box / f.name if len(names) > 1 or f.is_file() else box)
            if not box.exists() and given.get("if-no-files-found") != "ignore":
                failed = 1
        elif uses == "actions/download-artifact":
            boxes = [store / given["name"]] if "name" in given else sorted(store.glob(given["pattern"]))
            for b in boxes:
                if not b.exists():
                    failed = 1
                copy_into(b, where / given.get("path", "."))
        elif uses == "github/codeql-action/upload-sarif":
            failed = failed or not (where / given["sarif_file"]).exists()
        elif "run" in step:
            output = temp / f"output{k}"
            output.touch()
            env = {n: expand(v, values) for n, v in (flow.get("env", {}) | step.get("env", {})).items()}
            env |= {"RUNNER_TEMP": str(temp), "GITHUB_OUTPUT": str(output)} | extra
            rc, text = sh(expand(step["run"], values), where, env, ["-e"])
            for line in output.read_text().splitlines():
                values[f"steps.{step['id']}.outputs.{line.split('=')[0]}"] = line.split("=", 1)[1]
            if rc != 0 and not step.get("continue-on-error"):
                failed = rc
                values["log"] = values.get("log", "") + f"{name}: {step.get('name')}: exit {rc}\n{text}"
        elif uses != "actions/checkout":
            raise SystemExit(f"an action that this test does not know: {uses}")
    return failed


def github(title, extra, lost=(), broken=()):
    flow = yaml.safe_load((root / "contrib/github/qverify.yml").read_text())
    base, jobs = top / title, flow["jobs"]
    store = base / "artifacts"
    store.mkdir(parents=True)
    values = {}
    codes = {}
    for name, job in jobs.items():
        needs = [job["needs"]] if isinstance(job.get("needs"), str) else job.get("needs", [])
        if "if" not in job and any(codes[n] for n in needs):
            codes[name] = None
            continue
        if "if" in job and job["if"] != "${{ !cancelled() && needs.plan.result == 'success' }}":
            raise SystemExit("a condition that this test does not know")
        if "if" in job and codes["plan"]:
            codes[name] = None
            continue
        axes = job.get("strategy", {}).get("matrix", {})
        cells = [dict(zip(axes, c)) for c in itertools.product(*axes.values())] or [{}]
        codes[name] = 0
        for cell in cells:
            values |= {f"matrix.{k}": v for k, v in cell.items()} | {"strategy.job-total": len(cells)}
            tag = name + "".join(f"-{v}" for v in cell.values())
            if tag in broken:
                codes[name] = 1
                continue
            codes[name] = max(codes[name], github_job(flow, tag, job, base / tag, store, values, lost, extra))
    return codes, base, values.get("log", "")


# ---- GitLab ----------------------------------------------------------------------------------------------------------------------------

def gitlab(title, extra, lost=()):
    doc = yaml.safe_load((root / "contrib/gitlab/.gitlab-ci.yml").read_text())
    base, codes, kept, logs = top / title, {}, {}, ""
    words = ("stages", "default", "variables")
    jobs = sorted((n for n in doc if n not in words), key=lambda n: doc["stages"].index(doc[n]["stage"]))
    for name in jobs:
        job = doc[name]
        if job.get("when") != "always" and any(codes[n] for n in job.get("needs", [])):
            codes[name] = None
            continue
        n, codes[name], kept[name] = job.get("parallel", 1), 0, []
        for k in range(1, n + 1):
            where = checkout(base / f"{name}-{k}")
            for box in (b for need in job.get("needs", []) for b in kept.get(need, [])):
                copy_into(box, where)
            env = {a: str(b) for a, b in doc["variables"].items()} | extra | {"CI_NODE_INDEX": str(k), "CI_NODE_TOTAL": str(n)}
            script = "\n".join(job.get("before_script", []) + job["script"])
            # What builds outside of the folder builds in a folder of this run.
            rc, text = sh(script.replace("/tmp/qverify", str(base / "src")), where, env, ["-eo", "pipefail"])
            if rc != 0:
                codes[name] = rc
                logs += f"{name}: exit {rc}\n{text}"
            if rc == 0 or job["artifacts"].get("when") == "always":
                box = base / f"artifacts-{name}-{k}"
                box.mkdir()
                for p in job["artifacts"]["paths"] + [v for v in job["artifacts"].get("reports", {}).values()]:
                    copy_into(where / p, box / p)
                if (name, k) not in lost:
                    kept[name].append(box)
    return codes, base, logs


stubs()
for service, run, last, plan_job, work_job in (("GitHub", github, "verdict", "plan", "work"), ("GitLab", gitlab, "qverify", "qverify-plan", "qverify-work")):
    for example, code in (("pass", 0), ("fail", 10)):
        codes, base, log = run(f"{service}-{example}", {"MANIFEST": f"examples/ci/{example}/qverify.json"})
        check(f"{service}: examples/ci/{example}", codes, {plan_job: 0, work_job: 0, last: code})
        if codes[last] != code:
            print(log)
        box = base / ("artifacts/qverify-reports" if service == "GitHub" else "artifacts-qverify-1")
        names = ["report.json", "report.xml", "report.sarif", "report.intoto.json", "report.html", "evidence/CHECK", "evidence/SUMMARY.txt"]
        check(f"{service}: examples/ci/{example}: every report is kept", [n for n in names if not (box / n).is_file()], [])
        rc, text = sh("sh evidence/CHECK", box, {"CHECKER": str(program.parent / "qverify-check")}, [])
        check(f"{service}: examples/ci/{example}: the evidence checks itself", rc, 0)
    shards = range(1, 4)
    lost = [f"results-{k}" for k in shards] if service == "GitHub" else [("qverify-work", k) for k in shards]
    codes, base, log = run(f"{service}-lost", {"MANIFEST": "examples/ci/pass/qverify.json"}, lost=lost)
    check(f"{service}: results that are lost are no pass", codes[last], 5)
    codes, base, log = run(f"{service}-none", {"MANIFEST": "no-such.json"})
    check(f"{service}: no manifest is no pass", codes[plan_job] != 0 and codes[last] != 0, True)
codes, base, log = github("GitHub-broken", {"MANIFEST": "examples/ci/pass/qverify.json"}, broken=("work-1", "work-2", "work-3"))
check("GitHub: shards that break are no pass", codes["verdict"], 5)
sys.exit(bad)
