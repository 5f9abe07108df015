#!/usr/bin/env python3
"""The reports of networks.sh (build/bench/nets/NAME.json) as the table of README.md.

    networks_table.py build/bench/nets"""
import json
import os
import sys
from fractions import Fraction

NETS = [("acasxu_1_1", "ACAS Xu 1_1"), ("mnist_valid", "TinyMaix valid"), ("mnist_resnet", "TinyMaix resnet"), ("mnist_256x2", "mnist-net 256x2"),
        ("kws", "KWS"), ("resnet8", "ResNet-8")]
COLUMNS = ["optimum", "amp", "nncf", "nncf-undo", "ratio", "ratio-skip", "ratio-undo", "rusci", "eagl", "hawq-v3", "uniform W4A8", "uniform W3A8"]


def cell(m, best):
    if m is None or m["choice"] is None:
        return ""
    if not m["feasible"]:
        return "too large"
    n = m["network"]
    right = n["right"] if n["right"] is not None else n["as_float"]
    gap = 100 * (Fraction(m["loss"]) / best - 1)
    gap = "0" if gap == 0 else f"+{float(gap):.2g}" if gap < 10 else f"+{float(gap):.0f}"
    return f"{100 * int(right) / int(n['samples']):.4g} ({gap})"


def main():
    print("| network, size | " + " | ".join(c.replace("uniform W", "").replace("A", "/") for c in COLUMNS) + " |")
    print("|---" * (1 + len(COLUMNS)) + "|")
    for name, title in NETS:
        path = os.path.join(sys.argv[1], name + ".json")
        if not os.path.exists(path):
            continue
        with open(path, encoding="utf-8") as f:
            methods = json.load(f)["methods"]
        for budget in dict.fromkeys(m["budget"] for m in methods):
            of = {m["method"]: m for m in methods if m["budget"] == budget}
            best = of.get("optimum")
            if best is None or best["choice"] is None:
                print(f"| {title}, {budget} | nothing is so small" + " |" * len(COLUMNS))
                continue
            print(f"| {title}, {budget} | " + " | ".join(cell(of.get(c), Fraction(best["loss"])) for c in COLUMNS) + " |")


main()
