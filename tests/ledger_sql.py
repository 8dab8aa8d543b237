"""Runs the examples of docs/ledger.md on a ledger with DuckDB and Polars, and holds their sums against a report of it.

Usage: ledger_sql.py DIRECTORY: a directory that holds `ledger` and `report`, the report of all of it.
"""

import json
import os
import pathlib
import re
import sys

import duckdb
import polars

page = (pathlib.Path(__file__).parent.parent / "docs" / "ledger.md").read_text()
os.chdir(sys.argv[1])
summary = json.loads(pathlib.Path("report/summary.json").read_text())


def near(one, other, what):
    assert abs(one - other) <= 1e-9 * max(abs(one), abs(other), 1), f"{what}: {one} and {other}"
    print(f"{what}: {one}")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", page, flags=re.S)


queries = blocks("sql")
assert len(queries) == 3, len(queries)
months, accounts, manifests = [duckdb.sql(query).fetchall() for query in queries]
assert abs(sum(row[1] for row in months) - summary["energy_kwh"]) < 0.001 * (len(months) + 1), months
assert abs(sum(row[2] for row in months) - summary["emissions_gco2e"] / 1000) < 0.001 * (len(months) + 1), months
near(sum(row[2] for row in accounts), summary["energy_kwh_by_beneficiary"]["run"], "kWh of runs, by account")
days = [json.loads(row[1]) for row in manifests]
near(sum(day["totals"]["energy_j"] for day in days), summary["energy_j"], "J of the manifests")
everything = "read_parquet('ledger/entries/*/*.parquet', hive_partitioning = true)"
((joules, grams, embodied),) = duckdb.sql(
    f"SELECT sum(energy_j), sum(emissions_gco2e), sum(embodied_amortised_gco2e) FROM {everything}"
).fetchall()
near(joules, summary["energy_j"], "J")
near(grams, summary["emissions_gco2e"], "gCO2e")
near(embodied, summary["statement"]["embodied_amortised_gco2e"], "gCO2e embodied")
bounds = f"SELECT min(energy_j - energy_low_j), min(energy_high_j - energy_j) FROM {everything}"
((low, high),) = duckdb.sql(bounds).fetchall()
assert low >= 0 and high >= 0, (low, high)

(example,) = blocks("python")
exec(example)
frame = polars.scan_parquet("ledger/entries/*/*.parquet", hive_partitioning=True).collect()
near(frame["energy_j"].sum(), summary["energy_j"], "J by Polars")
assert frame["date"].n_unique() == len(days)
print("the examples of docs/ledger.md run, and their sums are those of the report")
