#!/usr/bin/env python3
"""Knapsack cases in the JSON form of README.md to TABLE.json.

    mct_table.py mct_lp_cases.json 0 > case0.json      case number from 0
    mct_table.py mct_lp_cases.json all DIR             every case into DIR/caseN.json

Candidates are named by their position in their group, so that a choice reads like the data's expected_choice. Numbers keep every digit."""
import json
import sys


def table(case):
    limits = {f"r{m}": str(v) for m, v in enumerate(case["limits"])}
    rows = iter(case["cost_rows_per_candidate"])
    groups = [{"name": name, "candidates": [
        {"name": str(i), "loss": str(loss), "cost": {f"r{m}": str(v) for m, v in enumerate(next(rows))}} for i, loss in enumerate(losses)]}
        for name, losses in case["sensitivity"].items()]
    return {"format": "qverify-table/1", "name": case["test"], "costs": list(limits), "groups": groups, "limits": limits}


def main():
    with open(sys.argv[1], encoding="utf-8") as f:
        cases = json.load(f, parse_float=str)["cases"]
    if sys.argv[2] == "all":
        for i, case in enumerate(cases):
            with open(f"{sys.argv[3]}/case{i}.json", "w", encoding="utf-8") as out:
                json.dump(table(case), out, indent=1)
    else:
        json.dump(table(cases[int(sys.argv[2])]), sys.stdout, indent=1)
        print()


main()
