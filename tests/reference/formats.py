#!/usr/bin/env python3
"""One simulated cluster by every way in: its blocks, `promtool tsdb dump`, OpenMetrics, and a real Prometheus by each protocol of `fetch`.
entries.csv has to be the same bytes, but for range queries, which lose stale markers.

    formats.py [--seeds N] [--first SEED] [--wattledger PATH]

Needs promtool (2.42 has no `dump-openmetrics`: the text is then made here from the dump) and prometheus.
"""
import argparse
import csv
import hashlib
import os
import random
import shutil
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
import books
import compare
import prometheus


def openmetrics(dump, path):
    """The same samples as OpenMetrics text: seconds, series of a metric together, `# EOF`."""
    lines = []
    with open(dump, encoding="utf-8") as file:
        for line in file:
            brace = line.rfind("}")
            head, (value, t) = line[: brace + 1], line[brace + 1 :].split()
            labels = [(k, v) for k, v in books.LABEL.findall(head)]
            name = dict(labels)["__name__"]
            rest = ",".join(f'{k}="{v}"' for k, v in labels if k != "__name__")
            lines.append((name, f"{name}{{{rest}}} {value} {int(t) // 1000}.{int(t) % 1000:03}\n"))
    lines.sort(key=lambda x: x[0])
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(x[1] for x in lines)
        file.write("# EOF\n")


def entries(program, snapshot, jobs, config, out, first, last):
    command = [program, "report", "--snapshot", snapshot, "--jobs", jobs, "--zone", "DE", "--entries", "--no-charts", "--no-html", "--no-md"]
    command += ["--from", books.stamp(first), "--to", books.stamp(last), "--out", out]
    compare.execute(command + (["--config", config] if os.path.exists(config) else []))
    with open(os.path.join(out, "entries.csv"), "rb") as file:
        return file.read()


def say(name, data, reference):
    if data == reference:
        print(f"  {name}: the same {len(data)} bytes")
        return 0
    mine, other = [list(csv.DictReader(x.decode().splitlines())) for x in (data, reference)]
    count, worst, found = compare.differences(mine, other)
    lines = sum(a != b for a, b in zip(data.splitlines(), reference.splitlines()))
    # Range queries lose stale markers (docs/fetch.md): where a series ended and came back its energy may be spread in another way.
    expected = name.endswith("range")
    print(f"  {name}: {'differs' if expected else 'DIFFERS'}, {lines} lines; {len(found)} of {count} rows beyond rounding, largest relative {worst:.2g}")
    for line in found[:5]:
        print("     ", line.replace("reference", "blocks"))
    return 0 if expected else 1


def one(program, seed, place):
    make, _ = compare.draw("simulated", seed)
    make = {**make, "nodes": min(make["nodes"], 2), "hours": min(make["hours"], 8.0)}
    print(" ".join(compare.simulate_command("wattledger", seed, make, "DIR")), flush=True)
    compare.execute(compare.simulate_command(program, seed, make, os.path.join(place, "sim")))
    snapshot, jobs, config = [os.path.join(place, "sim", x) for x in compare.SIMULATED_FILES]
    os.makedirs(os.path.join(snapshot, "wal"), exist_ok=True)  # promtool wants a data directory
    dump = os.path.join(place, "dump.txt")
    with open(dump, "w", encoding="utf-8") as file:
        compare.execute(["promtool", "tsdb", "dump", snapshot], file)
    first, last = 2**62, 0
    with open(dump, encoding="utf-8") as file:
        for line in file:
            t = int(line[line.rfind(" ") + 1 :])
            first, last = min(first, t), max(last, t)
    first, last = -(-first // 1000) * 1000, last // 1000 * 1000
    report = lambda name, blocks: entries(program, blocks, jobs, config, os.path.join(place, "report-" + name), first, last)
    reference, wrong = report("blocks", snapshot), 0
    text = os.path.join(place, "openmetrics.txt")
    openmetrics(dump, text)
    for name, source in (("promtool", dump), ("openmetrics", text)):
        blocks = os.path.join(place, name)
        compare.execute([program, "convert", source, "--out", blocks])
        wrong += say(name, report(name, blocks), reference)
    with prometheus.serving(snapshot, place) as address:
        for protocol in ("stream", "samples", "range"):
            blocks = os.path.join(place, protocol)
            compare.execute(
                [program, "fetch", "--prometheus", f"http://{address}", "--from", books.stamp(first - 1000), "--to", books.stamp(last + 1000), "--protocol", protocol, "--out", blocks]
            )
            wrong += say("fetch " + protocol, report(protocol, blocks), reference)
    return wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--keep")
    parser.add_argument("--wattledger", default=os.path.join(compare.HERE, "..", "..", "target", "release", "wattledger"))
    args = parser.parse_args()
    wrong = 0
    for seed in range(args.first, args.first + args.seeds):
        place = os.path.join(args.keep, str(seed)) if args.keep else tempfile.mkdtemp(prefix="wattledger-formats-")
        os.makedirs(place, exist_ok=True)
        try:
            wrong += one(args.wattledger, seed, place)
        finally:
            if not args.keep:
                shutil.rmtree(place, ignore_errors=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
