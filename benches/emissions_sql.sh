#!/bin/sh
# Emissions by another engine: DuckDB joins a report's hourly energies with the hours of a store and adds up; the report's own
# figures have to be the same to one part in 1e9, for the whole cluster and for each node.
#
#   cargo build --release && benches/emissions_sql.sh [DIRECTORY]
#
# Needs Python with DuckDB (PyPI). WATTLEDGER names another binary, PYTHON another Python.
set -eu

program=$(realpath "${WATTLEDGER:-$(dirname "$0")/../target/release/wattledger}")
python=${PYTHON:-python3}
"$python" -c 'import duckdb' || { echo "$0: $python has no duckdb" >&2; exit 1; }
work=$(mktemp -d "${1:-${TMPDIR:-/tmp}}/wattledger-sql.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
cd "$work"

"$program" simulate --nodes 6 --days 7 --seed 5 --start 2026-03-25 --out cluster >printed 2>&1
"$python" - <<'END'
import datetime, json, random
random.seed(3)
# A grid that swings.
rows = ["Datetime (UTC),Country,Zone Name,Zone Id,Carbon Intensity gCO₂eq/kWh (direct),Carbon Intensity gCO₂eq/kWh (LCA),Data Estimated"]
at = datetime.datetime(2026, 1, 1)
while at < datetime.datetime(2027, 1, 1):
    direct = round(random.uniform(20, 600), 2)
    rows.append(f"{at},Germany,Germany,DE,{direct},{direct + 40},false")
    at += datetime.timedelta(hours=1)
open("DE.csv", "w").write("\n".join(rows) + "\n")
END
"$program" intensity import DE.csv --store store >>printed 2>&1
"$program" report --snapshot cluster/snapshot --jobs cluster/sacct.txt --config cluster/wattledger.toml --zone DE \
    --basis direct --intensity store --pue 1.3 --no-charts --out report >>printed 2>&1
"$python" - <<'END'
import duckdb, sys
joined = """
  select h.node, sum(h.facility_energy_j / 3.6e6 * s.gco2e_per_kwh) as grams
  from read_csv('report/hourly.csv') h
  join read_parquet('store/*/*.parquet') s
    on s.start <= h.bucket_start and h.bucket_start < s.start + to_seconds(s.length_s) and s.zone = h.zone
  where s.basis = 'direct average consumption'
  group by h.node
"""
rows = duckdb.sql(f"select n.node, n.emissions_gco2e, j.grams from read_csv('report/by_node.csv') n join ({joined}) j using (node) order by 1").fetchall()
rows.append(("all",) + tuple(sum(row[at] for row in rows) for at in (1, 2)))
worst = 0.0
for node, ours, theirs in rows:
    worst = max(worst, abs(ours - theirs) / theirs)
    print(f"{node:10} {ours:16.6f} {theirs:16.6f} gCO2e")
print(f"worst difference {worst:.1e}")
sys.exit(worst > 1e-9 or len(rows) < 5)
END
