#!/usr/bin/env python3
"""Runs qverify and other runtimes on a folder of models (gen.py) and compares the output bytes.

Usage: compare.py --models DIR --qverify FILE --runtime NAME=COMMAND ... [--verbose]
COMMAND runs a list of models (worker.py, worker.mjs); the list's name is appended. Runtimes that are not given are reported
as missing. Exit status: 0 no difference, 1 differences or a crash of qverify, 77 nothing was compared.
"""
import argparse
import collections
import glob
import os
import shlex
import subprocess
import sys

# Per profile, groups of runtimes: the first group of which one ran the model decides; qverify has to agree with one member.
# tflite-single has no runtime on a package registry: its evidence is the stored outputs in the examples and tests.
PROFILES = {
    "tflite-double": [["tflm"]],
    "tflite-ruy-x86": [["tf"], ["litert"]],  # litert: newer than the profile's 2.9.0; runs what 2.9.0 does not know
    "xnnpack": [["litert-xnnpack", "litert-wasm"]],
}
# Operators in which LiteRT's builtin kernels are known to differ from 2.9.0's: not compared without tf.
NEEDS_TF = ("mean_", "chain_", "fc_16x8", "fc_tie_16x8")
REFUSED = (2, 3, 5)  # qverify's exit statuses for what it does not accept


def run_worker(command, models, name):
    listing = f"{models}/{name}.list"
    with open(listing, "w") as f:
        for d in cases(models):
            f.write(f"{d}/model.tflite\t{d}/out.{name}\t{','.join(inputs(d))}\n")
    log = f"{models}/{name}.log"
    for _ in range(len(cases(models)) + 1):  # one restart per model that takes the runtime down
        with open(log, "a") as f:
            done = subprocess.run(shlex.split(command) + [os.path.abspath(listing)], stdout=f, stderr=f)
        if done.returncode == 0:
            return
    sys.exit(f"compare: {name} keeps failing, see {log}")


def cases(models):
    return sorted(os.path.abspath(d) for d in glob.glob(models + "/*/*/") if os.path.exists(d + "model.tflite"))


def inputs(d):
    return [f"{d}/in{i}.bin" for i in range(len(glob.glob(d + "/in*.bin")))]


def first_difference(a, b):
    if len(a) != len(b):
        return f"{len(b)} bytes instead of {len(a)}"
    bad = [i for i in range(len(a)) if a[i] != b[i]]
    return f"{len(bad)} of {len(a)} bytes, the first at {bad[0]}: {b[bad[0]]} instead of {a[bad[0]]} (as unsigned bytes)"


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--models", required=True)
    ap.add_argument("--qverify", required=True)
    ap.add_argument("--runtime", action="append", default=[])
    ap.add_argument("--verbose", action="store_true")
    arg = ap.parse_args()
    have = dict(r.split("=", 1) for r in arg.runtime)
    for name, command in have.items():
        print(f"oracles: running {name}", flush=True)
        run_worker(command, arg.models, name)

    compared = bad = 0
    for profile, groups in PROFILES.items():
        count = collections.defaultdict(collections.Counter)
        why, report, absent = {}, [], collections.Counter()
        if not any(r in have for group in groups for r in group):
            print(f"\n{profile}: SKIPPED, none of {', '.join(r for g in groups for r in g)} is installed")
            continue
        for d in cases(arg.models):
            kind = d.split("/")[-2]
            expected = {}
            for group in groups:
                for r in group:
                    if os.path.exists(f"{d}/out.{r}"):
                        with open(f"{d}/out.{r}", "rb") as f:
                            expected[r] = f.read()
                if expected:
                    break
            if profile == "tflite-ruy-x86" and "tf" not in have and kind.startswith(NEEDS_TF):
                absent[kind] += 1
                continue
            out = f"{d}/qverify.{profile}.bin"
            if os.path.exists(out):
                os.remove(out)
            command = [arg.qverify, "run", d + "/model.tflite", "--profile", profile, "--output", out]
            for f in inputs(d):
                command += ["--input", f]
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
            said = done.stdout.decode(errors="replace").strip()
            if done.returncode in REFUSED:
                count[kind]["refused" if expected else "both refuse"] += 1
                why.setdefault(kind, said.splitlines()[0] if said else f"exit {done.returncode}")
                continue
            if done.returncode != 0:
                count[kind]["crash"] += 1
                report.append(f"{profile} {d}: qverify exits with {done.returncode}: {said[:300]}")
                continue
            if not expected:
                count[kind]["no oracle"] += 1
                continue
            with open(out, "rb") as f:
                got = f.read()
            compared += 1
            if got in expected.values():
                count[kind]["equal"] += 1
            else:
                count[kind]["DIFFERENT"] += 1
                r = next(iter(expected))
                report.append(f"{profile} {d}: differs from {r}: {first_difference(expected[r], got)}")
        total = sum(count.values(), collections.Counter())
        bad += total["DIFFERENT"] + total["crash"]
        print(f"\n{profile}: " + ", ".join(f"{v} {k}" for k, v in sorted(total.items())))
        for kind, c in sorted(count.items()):
            if arg.verbose or set(c) - {"equal", "both refuse"}:
                print(f"  {kind:24s} " + ", ".join(f"{v} {k}" for k, v in sorted(c.items())) +
                      (f"; {why[kind].split(chr(58) + chr(32), 2)[-1]}" if c["refused"] else ""))
        if absent:
            print(f"  SKIPPED (tensorflow 2.9.0 is not installed): {', '.join(sorted(absent))}")
        for line in report:
            print("  " + line)
    print(f"\noracles: {compared} comparisons, {bad} bad")
    sys.exit(1 if bad else 0 if compared else 77)


if __name__ == "__main__":
    main()
