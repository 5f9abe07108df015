#!/usr/bin/env python3
"""A small CPLEX LP file, minimize over binaries, to TABLE.json: every variable becomes a group with the candidates 0 and 1.

    lp_table.py FILE.lp > TABLE.json

Rows are <= or >= with the constant on the right; a >= row becomes a cost that is negated. Coefficients keep every digit."""
import json
import re
import sys


def terms(text):
    out = {}
    for sign, number, name in re.findall(r"([+-]?)\s*([0-9.]+(?:[eE][+-]?[0-9]+)?)?\s*([A-Za-z_]\w*)", text):
        out[name] = ("-" if sign == "-" else "") + (number or "1")
    return out


def negated(number):
    return number[1:] if number.startswith("-") else "-" + number


def main():
    with open(sys.argv[1], encoding="utf-8") as f:
        objective, rows, binaries = re.fullmatch(r"(?is)\s*minimize(.*)subject to(.*)binary(.*)end\s*", f.read()).groups()
    loss = terms(objective.split(":", 1)[1])
    costs, limits = {}, {}
    for name, body, sense, limit in re.findall(r"(\w+)\s*:\s*([^<>=]*)([<>]=)\s*(-?[0-9.eE+-]+)", rows):
        flip = negated if sense == ">=" else str
        costs[name] = {v: flip(c) for v, c in terms(body).items()}
        limits[name] = flip(limit)
    groups = [{"name": v, "candidates": [
        {"name": "0", "loss": "0", "cost": {r: "0" for r in costs}},
        {"name": "1", "loss": loss.get(v, "0"), "cost": {r: costs[r].get(v, "0") for r in costs}}]} for v in binaries.split()]
    json.dump({"format": "qverify-table/1", "name": sys.argv[1], "costs": list(costs), "groups": groups, "limits": limits}, sys.stdout, indent=1)
    print()


main()
