#!/usr/bin/env python3
"""HAWQ-V3 tables (the JSON form described in README.md) to TABLE.json.

    hawq_table.py hawqv3_resnet18.json > resnet18.json

Loss of a layer at b bits: hessian_trace_normalised * delta_w_sq[b], minus the same at 8 bit (so 0 at 8 bit). Costs: size in bits
(params * bits), bops (MACs * bits * bits), latency in ms on a T4. Exact decimals all the way."""
import json
import sys
from fractions import Fraction


def text(f):
    return str(f.numerator) if f.denominator == 1 else f"{f.numerator}/{f.denominator}"


def main():
    with open(sys.argv[1], encoding="utf-8") as f:
        h = json.load(f, parse_float=str)
    groups = []
    for i, name in enumerate(h["layers"]):
        trace = Fraction(h["hessian_trace_normalised"][i])
        base = trace * Fraction(h["delta_w_sq"]["8"][i])
        groups.append({"name": name, "candidates": [{
            "name": str(b), "precision": str(b), "loss": text(trace * Fraction(h["delta_w_sq"][str(b)][i]) - base),
            "cost": {"size": str(h["params"][i] * b), "bops": str(h["macs"][i] * b * b), "latency": str(h["latency_ms_T4"][str(b)][i])},
        } for b in sorted(h["bits"], reverse=True)]})
    links = [[h["layers"][i] for i in link] for link in h["links_equal_bits"]]
    json.dump({"format": "qverify-table/1", "name": "HAWQ-V3 " + h["network"], "costs": ["size", "bops", "latency"], "reference": "8",
               "groups": groups, "links": links}, sys.stdout, indent=1)
    print()


main()
