#!/usr/bin/env python3
"""Random clusters, the program's energy of a meter between two of its samples against PromQL on a real Prometheus over the same blocks.

    promql.py [--seeds N] [--first SEED] [--windows N] [--wattledger PATH] [--kind simulated|made|both]

A window begins and ends at samples of the meter that it is for, so that neither side has an edge to guess. PromQL has no word for some of the
rules, so a window is left out, and counted, where a sample was dropped (C2), where time is missing (C5; there the program may have no more
than PromQL), and for gauges that a job log shapes (C3) where a run begins or ends. Exit status 1 if any window differs; then the
smallest cluster that still shows it is named.
"""
import argparse
import collections
import csv
import json
import os
import random
import shutil
import sys
import tempfile
import tomllib

import numpy as np

sys.dont_write_bytecode = True
import books
import compare
import prometheus

COUNTER_TOLERANCE = 1e-9
# timestamp() is seconds since 1970 as a double: a tenth of a microsecond in each interval of 15 s or more.
GAUGE_TOLERANCE = 1e-7
# Finer than any two scrapes, so that a subquery looks between all of them.
FINE_MS = 5_000
LOOKBACK_MS = 300_000  # Prometheus' default

Meter = collections.namedtuple("Meter", "name selector node component device quantity scale wrap t v")


def catalogue():
    with open(os.path.join(books.DATA, "meters.toml"), "rb") as file:
        return {(x["metric"], x.get("component")): x for x in tomllib.load(file)["meter"] if x["quantity"] in ("energy", "power")}


def report(program, made, out, start=None, end=None):
    snapshot, jobs, config = made[:3]
    command = [program, "report", "--snapshot", snapshot, "--jobs", jobs, "--zone", "DE", "--gpu-in-node-meter", "yes", "--entries", "--no-charts", "--no-html", "--no-md", "--out", out]
    command += ["--config", config] if config else []
    command += ["--from", books.stamp(start), "--to", books.stamp(end)] if start else []
    compare.execute(command)
    tables = []
    for name in ("meters.csv", "entries.csv"):
        with open(os.path.join(out, name), encoding="utf-8") as file:
            tables.append(list(csv.DictReader(file)))
    with open(os.path.join(out, "summary.json"), encoding="utf-8") as file:
        return *tables, json.load(file)


def meters(program, made, place):
    """Every series that the program uses as a meter of energy or power."""
    known = catalogue()
    series = {frozenset(x.labels.items()): x for x in books.load_dump(made[3], {metric for metric, _ in known})}
    names = collections.defaultdict(set)
    for labels in series:
        names[dict(labels)["__name__"]] |= {name for name, _ in labels} - {"__name__"}
    found = []
    for row in report(program, made, os.path.join(place, "whole"))[0]:
        kind = known.get((row["metric"], row["component"]))
        if kind is None or not row["status"].startswith("used") or row["quantity"] != kind["quantity"]:
            continue
        labels = {k: books.unescape(v) for k, v in books.LABEL.findall(row["labels"])}
        x = series[frozenset({**labels, "__name__": row["metric"]}.items())]
        t, v = x.t[~np.isnan(x.v)], x.v[~np.isnan(x.v)]
        ranges = sorted(kind.get("wrap_j", []))
        # C2: the smallest known range that holds what the meter shows
        wrap = next((w for w in ranges if w >= max(v[v <= ranges[-1]], default=0)), None) if ranges else None
        # A selector leaves labels that it does not name to chance
        without = "".join(f', {name}=""' for name in sorted(names[row["metric"]] - labels.keys()))
        name = row["metric"] + row["labels"]
        found.append(Meter(name, name.removesuffix("}") + without + "}", row["node"], row["component"], row["device"], row["quantity"], kind.get("scale", 1.0), wrap, t, v))
    return found


def energy_by_promql(address, meter, start, end, boots):
    """Joules by PromQL alone, but for the instants of boots, at which a counter is asked anew; None where PromQL has no answer, or where a
    counter goes on over a boot, which C2 takes for a reset all the same."""
    at = lambda ms: f"{meter.selector} @ {ms / 1000:.3f}"
    over = lambda function, a, b: f"{function}({meter.selector}[{b - a}ms] @ {b / 1000:.3f})"
    if meter.quantity == "power":
        fine = f"{FINE_MS}ms"
        x, before = meter.selector, f"{meter.selector} offset {fine}"
        trapezoids = f"(timestamp({x}) - timestamp({before})) * ({x} + {before}) / 2"
        # From where `before` sees the first sample to before anything later than the last.
        query = f"sum_over_time(({trapezoids})[{end - start - 1}ms:{fine}] @ {(end + FINE_MS - 1) / 1000:.3f})"
        value = prometheus.ask(address, query, end)
        return None if value is None else value * meter.scale
    total, since = 0.0, start
    for boot in [b for b in boots if start < b <= end] + [None]:
        until = end if boot is None else int(meter.t[meter.t < boot][-1])
        if until > since:
            # Both ends of a range are samples: there is nothing to extrapolate.
            wrapped = lambda: f"({at(until)}) - ({at(since)}) + {meter.wrap!r} * {over('resets', since, until)}"
            part = prometheus.ask(address, wrapped() if meter.wrap else over("increase", since, until), end)
            if part is None:
                return None
            total += part
        if boot is not None:
            # From nought again: the first sample after a boot is what was used since.
            since = int(meter.t[meter.t >= boot][0])
            risen = prometheus.ask(address, f"({at(since)}) - ({at(until)})", end)
            if risen is None or risen >= 0:
                return None
            total += prometheus.ask(address, at(since), end)
    return total * meter.scale


def energy_by_program(meter, tables):
    """Joules of the meter, or why this window says nothing about it."""
    lines, rows, summary = tables
    same = [x for x in lines if (x["node"], x["component"], x["device"]) == (meter.node, meter.component, meter.device)]
    of_node = [x for x in rows if x["node"] == meter.node]
    # A node's reading is the sum of its lines only where all parts were seen throughout, and seen right.
    touched = of_node if meter.component == "node" else [x for x in of_node if x["component"] == meter.component and x["device"] in (meter.device, "all" if not meter.device else None)]
    checked = [x for x in lines if x["node"] == meter.node] if meter.component == "node" else same
    if any(int(x["dropped_samples"] or 0) for x in checked if x["quantity"] in ("energy", "power")):
        return None, "a sample was dropped"
    counts = summary["meters"]["counts"]
    if counts["dropped_outliers"] + counts["dropped_impossible"]:
        return None, "a sample was dropped"
    used = [x for x in same if x["status"].startswith("used") and int(x["samples"] or 0) and x["quantity"] in ("energy", "power")]
    if [x["metric"] + x["labels"] for x in used] != [meter.name]:
        return None, "another series was used, too, or instead"
    if not touched:
        return None, "no line"
    method = "measured:counter" if meter.quantity == "energy" else "measured:gauge"
    if meter.component != "node" and any(x["method"] != method for x in touched):
        return None, "another method was better"
    if meter.component == "node":
        if summary["balances"].get("overmeasured_j") or "other" not in {x["component"] for x in touched}:
            return None, "parts exceed the node"
    missing = [float(x["expected_s"] or 0) - float(x["covered_s"] or 0) - float(x["interpolated_s"] or 0) for x in touched]
    complete = max(missing) < 1e-3
    return sum(float(x["energy_j"] or 0) for x in touched), None if complete else "time is missing"


def windows(r, meter, edges, count):
    """Pairs of sample times, from two samples to all of them."""
    last = len(meter.t) - 1
    for _ in range(count):
        if last < 1:
            return
        length = min(last, max(1, int(last ** r.random())))
        first = r.randint(0, last - length)
        start, end = int(meter.t[first]), int(meter.t[first + length])
        if meter.quantity == "power":
            # Where the lookback ends, and where max_gap does, are not the same to the millisecond.
            if any(abs(gap - LOOKBACK_MS) <= FINE_MS for gap in np.diff(meter.t[first : first + length + 1])):
                continue
            if meter.component != "node":
                inside = sorted({start, end, *(int(meter.t[np.searchsorted(meter.t, e)]) for e in edges if start < e < end), *(int(meter.t[np.searchsorted(meter.t, e) - 1]) for e in edges if start < e < end)})
                free = [(a, b) for a, b in zip(inside, inside[1:]) if not any(a < e < b for e in edges)]
                if not free:
                    continue
                start, end = r.choice(free)
        yield start, end


def boots_of(dump):
    """Instants at which each node came up, by whatever series of its tells them."""
    out = collections.defaultdict(set)
    for x in books.load_dump(dump, {"node_boot_time_seconds"}):
        out[x.labels.get("instance", "").split(":")[0].split(".")[0]] |= {round(v * 1000) for v in x.v[~np.isnan(x.v)]}
    return {node: sorted(boots) for node, boots in out.items()}


def attempt(program, kind, seed, make, count):
    """Windows compared by what was asked, what was left out, the largest relative difference, and what differs."""
    place = tempfile.mkdtemp(prefix="wattledger-promql-")
    compared, left, worst, found = collections.Counter(), collections.Counter(), 0.0, []
    r = random.Random(f"{kind} {seed} windows")
    try:
        made = compare.build(program, kind, seed, make, place)
        boots = boots_of(made[3])
        runs = books.load_jobs(made[1])[0]
        todo = meters(program, made, place)
        with prometheus.serving(made[0], place) as address:
            for meter in r.sample(todo, min(len(todo), count)):
                edges = sorted({e for x in runs if meter.node in x.nodes for e in (x.start, x.end) if e})
                for start, end in windows(r, meter, edges, max(1, count // max(1, len(todo)))):
                    theirs = energy_by_promql(address, meter, start, end, boots.get(meter.node, []))
                    if theirs is None:
                        left["PromQL has no answer, or the counter goes on over a boot"] += 1
                        continue
                    ours, why = energy_by_program(meter, report(program, made, os.path.join(place, "window"), start, end))
                    what = f"{meter.component} {meter.quantity}"
                    tolerance = COUNTER_TOLERANCE if meter.quantity == "energy" else GAUGE_TOLERANCE
                    # Of a meter with time missing no more may be known than PromQL makes of all of it.
                    is_bounded = why == "time is missing" and meter.component != "node" and ours is not None
                    if why and not (is_bounded and ours > theirs * (1 + tolerance)):
                        left["time is missing, and it is no more than PromQL's" if is_bounded else why] += 1
                        continue
                    compared[what] += 1
                    relative = abs(ours - theirs) / max(abs(ours), abs(theirs), 1.0)
                    worst = max(worst, relative if relative <= tolerance else 0.0)
                    if relative > tolerance:
                        found.append(f"{meter.name} {start}..{end}: {ours!r} J, PromQL {theirs!r} ({relative:.2g}){' ' + why if why else ''}")
    finally:
        shutil.rmtree(place, ignore_errors=True)
    return compared, left, worst, found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--windows", type=int, default=40, help="for each cluster")
    parser.add_argument("--wattledger", default=os.path.join(compare.HERE, "..", "..", "target", "release", "wattledger"))
    parser.add_argument("--kind", choices=["simulated", "made", "both"], default="both")
    args = parser.parse_args()
    compared, left, worst, failed = collections.Counter(), collections.Counter(), 0.0, 0
    for seed in range(args.first, args.first + args.seeds):
        for kind in ["simulated", "made"] if args.kind == "both" else [args.kind]:
            make = compare.draw(kind, seed)[0]
            those, without, most, found = attempt(args.wattledger, kind, seed, make, args.windows)
            compared, left, worst = compared + those, left + without, max(worst, most)
            print(f"{kind} {seed}: {sum(those.values())} windows, {len(found)} differences, largest relative {most:.2g}  {make}", flush=True)
            for line in found[:10]:
                print("   ", line)
            if found:
                failed += 1
                small = compare.shrink(make, lambda smaller: attempt(args.wattledger, kind, seed, smaller, args.windows)[3])
                print(f"    smallest: {compare.described(kind, seed, small)}", flush=True)
    print(f"{sum(compared.values())} windows compared ({', '.join(f'{k} {n}' for k, n in sorted(compared.items()))}), largest relative difference {worst:.3g}")
    print(f"left out: {', '.join(f'{n} where {k}' for k, n in left.most_common()) or 'none'}")
    if not compared:
        print("nothing was compared")
    return 1 if failed or not compared else 0


if __name__ == "__main__":
    sys.exit(main())
