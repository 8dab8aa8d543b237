"""The lines of `promtool tsdb dump` for the peers: as Parquet, or as lines of JSON for VictoriaMetrics.

Usage: dump.py parquet|json OUTPUT <DUMP

Leaves out: NaN, stale markers among them, for the dump has lost which is which.
"""

import json
import re
import sys
from collections.abc import Iterator
from typing import Any

PAIR = re.compile(r'(\w+)=("(?:[^"\\]|\\.)*")')


def series_of(lines: Iterator[str]) -> Iterator[tuple[dict[str, str], list[int], list[float]]]:
    """Runs of lines of one series."""
    before, times, values = "", [], []  # type: str, list[int], list[float]
    for line in lines:
        series, value, at = line.rstrip("\n").rsplit(" ", 2)
        if series != before:
            if times:
                yield labels_of(before), times, values
            before, times, values = series, [], []
        if value != "NaN":
            times.append(int(at))
            values.append(float(value))
    if times:
        yield labels_of(before), times, values


def labels_of(series: str) -> dict[str, str]:
    return {name: json.loads(value) for name, value in PAIR.findall(series)}


def write_json(output: str) -> None:
    with open(output, "w", encoding="utf-8") as out:
        for labels, times, values in series_of(sys.stdin):
            # VictoriaMetrics refuses lines of more than 10 MB.
            for at in range(0, len(times), 10_000):
                cut = slice(at, at + 10_000)
                out.write(json.dumps({"metric": labels, "values": values[cut], "timestamps": times[cut]}) + "\n")


def write_parquet(output: str) -> None:
    import pyarrow
    import pyarrow.parquet

    names = ["series", "metric", "node", "device", "replica", "hpc_job", "t", "v"]
    columns: dict[str, list[Any]] = {name: [] for name in names}
    ids: dict[str, int] = {}
    for labels, times, values in series_of(sys.stdin):
        metric = labels["__name__"]
        node = (labels.get("Hostname") or labels["instance"]).split(":")[0].split(".")[0]
        device = labels.get("UUID") or f"{node} {labels['path']}"
        series = ids.setdefault(json.dumps(labels, sort_keys=True), len(ids))
        constant = (series, metric, node, device, labels.get("prometheus_replica"), labels.get("hpc_job"))
        for name, value in zip(names, constant):
            columns[name] += [value] * len(times)
        columns["t"] += times
        columns["v"] += values
    text = pyarrow.dictionary(pyarrow.int32(), pyarrow.string())
    types = [pyarrow.int32(), text, text, text, text, text, pyarrow.int64(), pyarrow.float64()]
    table = pyarrow.table({name: pyarrow.array(columns[name], kind) for name, kind in zip(names, types)})
    pyarrow.parquet.write_table(table, output)
    print(f"{table.num_rows} {len(ids)}")


if __name__ == "__main__":
    {"json": write_json, "parquet": write_parquet}[sys.argv[1]](sys.argv[2])
