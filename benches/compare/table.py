"""The table of run.sh: how long each took, and what it answered, beside the truth.

Usage: table.py CLUSTER HOLDS PARQUET MEASURED

MEASURED has a line for each: name, answer, seconds, processor seconds and KiB of the process, then those two of the
server (empty where there is none); separated by tabs. An answer is a CSV of run_id, hour, component and kwh, the
directory of a report, or a ledger.
"""

import csv
import sys
from collections import defaultdict
from pathlib import Path

import duckdb

J_IN_KWH = 3.6e6
Energies = dict[tuple[str, str], float]


def rows_of(path: Path) -> list[dict[str, str]]:
    with open(path, encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def kind_of(component: str) -> str:
    return "cpu_dram" if component in ("cpu", "dram") else component


def answer_of(path: Path) -> tuple[Energies, str]:
    """kWh by run and by gpu, cpu_dram and all; and what there is a row of."""
    found: Energies = defaultdict(float)
    if (path / "entries.csv").exists():
        rows = duckdb.sql(
            f"""select run_id, bucket_start, component, sum(energy_j) / {J_IN_KWH}
            from read_csv('{path}/entries.csv', types = {{'run_id': 'varchar'}}) where beneficiary = 'run' group by all"""
        ).fetchall()
    elif (path / "runs.csv").exists():
        runs = rows_of(path / "runs.csv")
        for run in runs:
            found[run["run_id"], "gpu"] += float(run["gpu_energy_kwh"] or 0)
            found[run["run_id"], "cpu_dram"] += float(run["cpu_energy_kwh"] or 0) + float(run["dram_energy_kwh"] or 0)
            found[run["run_id"], "all"] += float(run["energy_kwh"] or 0)
        return found, f"{len(runs)} runs"
    elif (path / "ledger.json").exists():
        rows = duckdb.sql(
            f"""select run_id, bucket_start, component, sum(energy_j) / {J_IN_KWH}
            from read_parquet('{path}/entries/*/*.parquet') where beneficiary = 'run' and component <> 'embodied'
            group by all"""
        ).fetchall()
    else:
        rows = [(row["run_id"], row["hour"], row["component"], float(row["kwh"])) for row in rows_of(path)]
    for run_id, _, component, kwh in rows:
        found[run_id, kind_of(component)] += kwh
        found[run_id, "all"] += kwh
    return found, f"{len({(row[0], row[1]) for row in rows})} run-hours"


def off(answer: float, truth: float) -> str:
    ratio = answer / truth
    return f"× {ratio:.1e}" if ratio > 10 else f"{(ratio - 1) * 100:+.2f} %"


def main() -> None:
    cluster, holds, parquet, measured = (Path(argument) for argument in sys.argv[1:])
    truth: Energies = defaultdict(float)
    for row in rows_of(cluster / "truth_runs.csv"):
        kwh = float(row["energy_j"]) / J_IN_KWH
        truth[row["run_id"], kind_of(row["component"])] += kwh
        truth[row["run_id"], "all"] += kwh

    # What all can answer: runs whose nodes all have the counters.
    nodes: dict[str, set[str]] = defaultdict(set)
    for row in rows_of(holds):
        nodes[row["run_id"]].add(row["node"])
    counted: dict[str, list[str]] = {}
    for kind, metrics in (("gpu", "DCGM_%"), ("cpu_dram", "node_rapl_%")):
        have = {
            row[0]
            for row in duckdb.sql(f"select distinct node from '{parquet}' where metric like '{metrics}'").fetchall()
        }
        counted[kind] = [run for run, on in nodes.items() if on <= have and truth[run, kind] > 0]
    counted["all"] = list(nodes)

    def totals(energies: Energies) -> list[float]:
        return [sum(energies[run, kind] for run in counted[kind]) for kind in ("gpu", "cpu_dram", "all")]

    true = totals(truth)
    heads = ["", "wall s", "CPU s", "MiB", "answer", "GPU kWh", "off", "runs within 1 %"]
    heads += ["CPU+DRAM kWh", "off", "runs within 1 %", "all kWh", "off"]
    print("| " + " | ".join(heads) + " |")
    print("| --- |" + " ---: |" * 3 + " --- |" + " ---: |" * 8)
    gpu_runs, cpu_runs = len(counted["gpu"]), len(counted["cpu_dram"])
    cells = ["truth", "", "", "", "", f"{true[0]:.3f}", "", f"{gpu_runs} runs"]
    cells += [f"{true[1]:.3f}", "", f"{cpu_runs} runs", f"{true[2]:.3f}", ""]
    print("| " + " | ".join(cells) + " |")
    for line in measured.read_text(encoding="utf-8").splitlines():
        name, path, wall, cpu, kib, server_cpu, server_kib = line.split("\t")
        found, rows = answer_of(Path(path))
        answer = totals(found)
        cpu, mib = f"{float(cpu):.2f}", f"{float(kib) / 1024:.0f}"
        if server_cpu:
            cpu, mib = f"{cpu} + {float(server_cpu):.2f}", f"{mib} + {float(server_kib) / 1024:.0f}"
        cells = [name, f"{float(wall):.3f}", cpu, mib, rows]
        for kind, kwh, right in zip(("gpu", "cpu_dram", "all"), answer, true):
            cells += [f"{kwh:.3f}" if kwh < 1e6 else f"{kwh:.1e}", off(kwh, right)]
            if kind != "all":
                close = [run for run in counted[kind] if abs(found[run, kind] / truth[run, kind] - 1) <= 0.01]
                cells.append(f"{len(close) / len(counted[kind]) * 100:.0f} %")
        print("| " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
