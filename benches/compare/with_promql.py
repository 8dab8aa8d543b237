"""Energy of each run and hour by PromQL or MetricsQL, from a server.

Usage: with_promql.py [--care] URL HOLDS OUTPUT

GPUs: one range query, the increase of each hour by `hpc_job`. Processors and memory: one query for each run, hour and
node, times the part of the node that the run held.
Without --care: both replicas of a node are added up, blank values are taken for readings.
With it: the higher of the replicas, values over 1e14 mJ left out, in a subquery.
Either way leaves out: wraps (the rest up to the wrap is lost, for `increase` takes them for resets), what happened
while an exporter was down, GPUs without an energy counter or `hpc_job`, processors without RAPL, the rest of the node.
"""

import csv
import json
import sys
import urllib.error
import urllib.parse
import urllib.request

HOUR = 3600
J_IN_KWH = 3.6e6
GPU = 'DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION{hpc_job!=""}'


def ask(url: str, path: str, **parameters: object) -> list[dict]:
    # VictoriaMetrics remembers answers otherwise; Prometheus ignores it.
    query = urllib.parse.urlencode(parameters | {"nocache": 1})
    try:
        with urllib.request.urlopen(f"{url}/api/v1/{path}?{query}") as answer:
            return json.load(answer)["data"]["result"]
    except urllib.error.HTTPError as error:
        sys.exit(f"{path} {parameters}: {error}: {error.read(2000).decode(errors='replace')}")


def main() -> None:
    arguments = sys.argv[1:]
    care = arguments[0] == "--care"
    url, holds, output = arguments[care:]
    with open(holds, encoding="utf-8", newline="") as lines:
        held = list(csv.DictReader(lines))
    for row in held:
        row["start_s"], row["end_s"] = int(row["start_s"]), int(row["end_s"])
    runs = {row["job_id"]: row["run_id"] for row in held}
    first = min(row["start_s"] for row in held) // HOUR * HOUR
    last = -(-max(row["end_s"] for row in held) // HOUR) * HOUR

    answers: list[tuple[str, int, str, float]] = []
    inner = f"increase({GPU}[1h])"
    if care:
        inner = f"increase((max without (prometheus_replica) ({GPU} < 1e14))[1h:15s])"
    for series in ask(
        url, "query_range", query=f"sum by (hpc_job) ({inner})", start=first + HOUR, end=last, step=HOUR
    ):
        for at_s, value in series["values"]:
            kwh = float(value) / 1000 / J_IN_KWH
            answers.append((runs[series["metric"]["hpc_job"]], int(at_s) - HOUR, "gpu", kwh))

    for row in held:
        for hour in range(row["start_s"] // HOUR * HOUR, row["end_s"], HOUR):
            start, end = max(row["start_s"], hour), min(row["end_s"], hour + HOUR)
            kwh = 0.0
            for metric, part in (("package", "cpu_part"), ("dram", "dram_part")):
                inner = f'increase(node_rapl_{metric}_joules_total{{instance=~"{row["node"]}[.:].*"}}[{end - start}s])'
                if care:
                    inner = f"max without (prometheus_replica) ({inner})"
                for series in ask(url, "query", query=f"sum({inner})", time=end):
                    kwh += float(series["value"][1]) * float(row[part]) / J_IN_KWH
            answers.append((row["run_id"], hour, "cpu_dram", kwh))

    with open(output, "w", encoding="utf-8", newline="") as out:
        table = csv.writer(out)
        table.writerow(["run_id", "hour", "component", "kwh"])
        table.writerows(answers)


if __name__ == "__main__":
    main()
