"""What each run held of each node, as a small table for all peers alike, from a job log of `sacct --parsable2`.

Usage: holds.py SACCT TO OUTPUT. TO is the end of the window, for runs that are still going.

A run's part of a node is its processors (memory) divided by the most that any run had there: the size of a node is not
in the log. Leaves out: steps, runs that never started, time zones (UTC is taken).
"""

import csv
import re
import sys
from datetime import datetime, timezone

Resources = tuple[float, float]
UNITS = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


def seconds(text: str) -> int:
    return int(datetime.fromisoformat(text.removesuffix("Z")).replace(tzinfo=timezone.utc).timestamp())


def nodes_of(text: str) -> list[str]:
    """`gpu[004-006,009],login1` as single names."""
    names: list[str] = []
    for name, numbers in re.findall(r"([^,\[\]]+)(?:\[([^\]]*)\])?", text):
        if not numbers:
            names.append(name)
        for part in numbers.split(",") if numbers else []:
            first, _, last = part.partition("-")
            names += [f"{name}{number:0{len(first)}}" for number in range(int(first), int(last or first) + 1)]
    return names


def resources_of(text: str) -> Resources:
    """Processors and bytes of `billing=4,cpu=4,mem=20G`."""
    stated = dict(part.split("=", 1) for part in text.split(",") if part)
    memory = stated.get("mem", "0")
    return float(stated["cpu"]), float(memory.rstrip("KMGT")) * UNITS.get(memory[-1], 1)


def main() -> None:
    log, to, output = sys.argv[1], seconds(sys.argv[2]), sys.argv[3]
    held: list[tuple[str, str, str, int, int, Resources]] = []
    sizes: dict[str, Resources] = {}
    with open(log, encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines, delimiter="|", quoting=csv.QUOTE_NONE):
            if "." in row["JobID"] or row["Start"] in ("None", "Unknown") or not row["AllocTRES"]:
                continue
            end = to if row["End"] in ("None", "Unknown") else min(seconds(row["End"]), to)
            nodes = nodes_of(row["NodeList"])
            cpus, memory = resources_of(row["AllocTRES"])
            part = (cpus / len(nodes), memory / len(nodes))
            for node in nodes:
                size = sizes.get(node, (0.0, 0.0))
                sizes[node] = (max(size[0], part[0]), max(size[1], part[1]))
                held.append((row["JobID"], row["JobIDRaw"], node, seconds(row["Start"]), end, part))
    with open(output, "w", encoding="utf-8", newline="") as out:
        table = csv.writer(out)
        table.writerow(["run_id", "job_id", "node", "start_s", "end_s", "cpu_part", "dram_part"])
        for run_id, job_id, node, start_s, end_s, part in held:
            size = sizes[node]
            table.writerow([run_id, job_id, node, start_s, end_s, part[0] / size[0], part[1] / size[1]])


if __name__ == "__main__":
    main()
