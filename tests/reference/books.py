#!/usr/bin/env python3
"""The rules of docs/accounting.md a second time, written from the page and not from the program.

    books.py DUMP --jobs sacct.txt [--config wattledger.toml] [--intensity FILE] [--pue 1.2] > entries.csv

DUMP is the text of `promtool tsdb dump` or of `promtool tsdb dump-openmetrics`. Comments name the rule that a step follows. Where the
page is silent, or was read in one of several ways, the comment says SILENT. It is slow and plain on purpose.

Left out: C8, S6, G4 to G7, U1 to U5, calibration, joblog models, MIG, module meters, fallback exporters, half-hour zones.
"""
import argparse
import bisect
import csv
import datetime
import math
import os
import re
import sys
import tomllib
from collections import defaultdict, namedtuple

import numpy as np

HOUR, DAY = 3_600_000, 86_400_000
DATA = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "data")
MIN_GAP = 5 * 60_000
COUNTER, GAUGE, MODELLED, CONSTANT = "measured:counter", "measured:gauge", "modelled:utilisation", "modelled:constant"
COVERED, INTERPOLATED, MISSING = "covered", "interpolated", "missing"


# ---- Input ----------------------------------------------------------------------------------------------------

Series = namedtuple("Series", "labels t v")  # t in ms, v as stored; NaN stands for a stale marker
LABEL = re.compile(r'([a-zA-Z_:][a-zA-Z0-9_:]*)="((?:[^"\\]|\\.)*)"')


def unescape(text):
    return re.sub(r"\\(.)", lambda m: "\n" if m[1] == "n" else m[1], text) if "\\" in text else text


def load_dump(path, wanted):
    """Series by labels. In `dump` the name is a label and times are ms; OpenMetrics has the name before the brace, and seconds."""
    raw = {}
    for line in open(path, encoding="utf-8"):
        if line[0] == "#" or line == "\n":
            continue
        brace = line.rfind("}")
        head, tail = line[: brace + 1], line[brace + 1 :].split()
        into = raw.get(head)
        if into is None:
            into = raw[head] = ([], [])
        into[0].append(tail[1])
        into[1].append(tail[0])
    out = []
    for head, (times, values) in raw.items():
        labels = {k: unescape(v) for k, v in LABEL.findall(head[head.index("{") :])}
        seconds = not head.startswith("{")
        if seconds:
            labels["__name__"] = head[: head.index("{")]
        if labels["__name__"] not in wanted:
            continue
        t = np.array([round(float(x) * 1000) for x in times] if seconds else times, dtype=np.int64)
        v = np.array(values, dtype=float)
        order = np.argsort(t, kind="stable")
        out.append(Series(labels, t[order], v[order]))
    out.sort(key=lambda s: sorted(s.labels.items()))
    return out


def instant(text, default=None):
    """Unix seconds, or a date and time that is UTC unless it says otherwise (§9)."""
    if text in ("", "Unknown", "None", None):
        return default
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return round(float(text) * 1000)
    when = datetime.datetime.fromisoformat(text.replace("Z", "+00:00"))
    if when.tzinfo is None:
        when = when.replace(tzinfo=datetime.timezone.utc)
    return round(when.timestamp() * 1000)


def host_list(text):
    """gpu[001-003,7],cpu1 → names."""
    out = []
    for part in re.findall(r"[^,\[]+(?:\[[^\]]*\][^,\[]*)*", text):
        found = re.match(r"(.*?)\[([^\]]*)\](.*)", part)
        if not found:
            out.append(part)
            continue
        for piece in found[2].split(","):
            first, _, last = piece.partition("-")
            for number in range(int(first), int(last or first) + 1):
                out += host_list(found[1] + str(number).zfill(len(first)) + found[3])
    return out


def amount(text):
    """Bytes of 16G, 4000M, 1.5T; powers of 1024."""
    found = re.fullmatch(r"([\d.]+)([KMGTP]?)i?[Bc n]?", text)
    return float(found[1]) * 1024 ** " KMGTP".index(found[2] or " ") if found else None


class Run:
    """One start of one job. Amounts are for one of its nodes (W4: totals divide evenly)."""

    def __init__(self, row, number):
        self.id, self.job_id = row["JobID"], row.get("JobIDRaw") or row["JobID"]
        self.start, self.end = instant(row["Start"]), instant(row["End"])
        self.nodes = host_list(row["NodeList"].lower())
        self.user, self.account, self.number = row.get("User", ""), row.get("Account", ""), number
        tres = dict(x.partition("=")[::2] for x in row.get("AllocTRES", "").split(",") if "=" in x)
        n = max(1, len(self.nodes))
        cpus = tres.get("cpu") or row.get("AllocCPUS") or ""
        self.cpus = float(cpus) / n if cpus not in ("", "0") else None
        self.memory = amount(tres["mem"]) / n if "mem" in tres else None
        self.gpus = float(tres.get("gres/gpu") or 0) / n


def load_jobs(path):
    runs, records = [], []
    with open(path, encoding="utf-8") as file:
        head = file.readline().rstrip("\n").split("|")
        for line in file:
            row = dict(zip(head, line.rstrip("\n").split("|", len(head) - 1)))
            if "." in row["JobID"]:  # steps are folded into their job
                continue
            if instant(row["Start"]) is None or row["NodeList"] in ("", "None assigned"):
                continue
            run = Run(row, len(runs))
            if run.end is not None and run.end <= run.start:
                continue
            runs.append(run)
    first = min((r.start for r in runs), default=0)
    last = max([r.end for r in runs if r.end] + [r.start for r in runs], default=0)
    return runs, (first, last)


def catalog():
    with open(os.path.join(DATA, "meters.toml"), "rb") as file:
        data = tomllib.load(file)
    rows = defaultdict(list)
    for meter in data["meter"]:
        rows[meter["metric"]].append(meter)
    return rows, {fact["metric"]: fact["role"] for fact in data["fact"]}


# ---- N1 Names -------------------------------------------------------------------------------------------------


def bare_host(name):
    name = name.lower()
    if re.fullmatch(r"[\d.]+(:\d+)?", name):
        return name.partition(":")[0]
    return name.partition(":")[0].partition(".")[0]


class Names:
    def __init__(self, series, config):
        self.uname = {s.labels.get("instance"): s.labels["nodename"] for s in series if s.labels["__name__"] == "node_uname_info"}
        self.alias = sorted((config.get("nodes", {}).get("alias") or {}).items())

    def resolve(self, name):
        for pattern, target in self.alias:
            found = re.fullmatch(pattern, name, re.IGNORECASE) or re.fullmatch(pattern, bare_host(name), re.IGNORECASE)
            if found:
                return bare_host(found.expand(re.sub(r"\$(\d)", r"\\\1", target)))
        return bare_host(name)

    def of(self, labels, row):
        instance = labels.get("instance", "")
        candidates = [labels.get(row["node"])] if row and "node" in row else []
        candidates += [self.uname.get(instance)]
        candidates += [labels.get(x) for x in ("Hostname", "nodename", "node", "host")] + [instance]
        return self.resolve(next(x for x in candidates if x))


# ---- N2, N3 One meter of many series ---------------------------------------------------------------------------


def gpu_key(text):
    text = text.lower()
    return text[4:] if text.startswith("gpu-") else text


def typical_step(t):
    return float(np.median(np.diff(t))) if len(t) > 1 else 0.0


def max_gap(t):
    return max(MIN_GAP, 2.5 * typical_step(t))


# N3: labels that say where a reading was made; series that differ in others are one stream
WHERE = ["__name__", "job", "instance", "replica", "prometheus_replica", "__replica__", "prometheus", "path", "GPU_I_ID"]


def streams_of(series):
    """Times and values, stale markers among them, of each stream, in label order."""
    members = defaultdict(list)
    for s in series:
        members[tuple(s.labels.get(k, "") for k in WHERE)].append(s)
    out = []
    for group in members.values():
        t, v = np.concatenate([s.t for s in group]), np.concatenate([s.v for s in group])
        order = np.argsort(t, kind="stable")
        out.append((t[order], v[order]))
    return out


def stitch(series):
    """N2, N3: for each UTC day the chain of streams with most coverage. Returns times, values, and instants at which the meter ended."""
    times, values, ends = [], [], []
    streams = streams_of(series)
    days = sorted({int(d) for t, _ in streams for d in np.unique(t // DAY)})
    for day in days:
        pieces, lone = [], []
        for n, (t, v) in enumerate(streams):
            inside = (t >= day * DAY) & (t < (day + 1) * DAY)
            x, y = t[inside], v[inside]
            marks, seen = x[np.isnan(y)], ~np.isnan(y)
            x, first = np.unique(x[seen], return_index=True)
            y = y[seen][first]
            if len(x):
                pieces.append((n, x, y, marks))
            else:
                lone += [int(m) for m in marks]
        # One that begins after another has ended follows it
        chains = []
        for piece in sorted(pieces, key=lambda p: (p[1][0], p[0])):
            before = next((c for c in chains if c[-1][1][-1] < piece[1][0]), None)
            if before is None:
                chains.append([piece])
            else:
                before.append(piece)
        if not chains:
            ends += lone
            continue
        chains.sort(key=lambda c: min(p[0] for p in c))

        def coverage(chain):
            t = np.concatenate([p[1] for p in chain])
            steps = np.diff(t)  # SILENT on what "coverage" is: seconds between samples that are no gap
            return steps[steps <= max_gap(t)].sum()

        best = max(chains, key=coverage)  # the first of equals: label order
        t = np.concatenate([p[1] for p in best])
        times.append(t)
        values.append(np.concatenate([p[2] for p in best]))
        step = typical_step(t)
        for piece in best:
            for marker in piece[3]:
                if not any(np.any((p[1] >= marker) & (p[1] <= marker + step)) for p in pieces):
                    ends.append(int(marker))
    if not times:
        return np.array([], dtype=np.int64), np.array([]), []
    return np.concatenate(times), np.concatenate(values), sorted(ends)


# ---- C1 to C6 The energy curve ---------------------------------------------------------------------------------

Interval = namedtuple("Interval", "a b j state even")  # energy between two samples; `even`: spread evenly whatever runs there were
Piece = namedtuple("Piece", "a b p q state")  # power from p to q, linear


def drop_still_days(t, v, counter):
    """C5: processors and memory that stand still over a UTC day have no such zone."""
    keep = np.ones(len(t), dtype=bool)
    for day in np.unique(t // DAY):
        on = t // DAY == day
        still = np.all(v[on] == v[on][0]) if counter else np.all(v[on] == 0)
        if still and t[on][-1] - t[on][0] >= HOUR:
            keep &= ~on
    return t[keep], v[keep]


def gap_limits(t):
    """C5: max_gap of each day."""
    return {int(day): max_gap(t[t // DAY == day]) for day in np.unique(t // DAY)}


def ended_between(ends, a, b):
    i = bisect.bisect_right(ends, a)
    return i < len(ends) and ends[i] <= b


def counter_intervals(t, v, ends, row, p_max, boots):
    """C1, C2, C5 for a cumulative counter in J."""
    limits = gap_limits(t)
    ranges = sorted(row.get("wrap_j", []))
    top = {}
    for day in limits:  # values above all known ranges count only from three in a row
        x = v[t // DAY == day]
        if ranges:
            above = x > ranges[-1]
            run3 = any(above[i : i + 3].all() for i in range(len(x) - 2))
            x = x if run3 else x[~above]
        top[day] = x.max() if len(x) else 0.0

    def energy(i, k):
        """Energy from sample i to k, 'reset', None for an outlier, or 'ambiguous'."""
        a, b, seconds = v[i], v[k], (t[k] - t[i]) / 1000
        if any(t[i] < boot <= t[k] for boot in boots):
            return "reset"
        largest = max(top[int(t[i] // DAY)], top[int(t[k] // DAY)])
        wrap = next((r for r in ranges if r >= largest), None)
        most = p_max * seconds
        fits, candidate = [], b - a
        if candidate < 0 and wrap:
            candidate += wrap
        while 0 <= candidate <= most and len(fits) < 2:
            fits.append(candidate)
            if not wrap:
                break
            candidate += wrap
        if len(fits) == 1:
            return fits[0]
        if fits:
            return "ambiguous"
        return "reset" if row.get("resets") else None

    out, base, outliers = [], 0, []
    for k in range(1, len(t)):
        if base is None:
            break
        found = energy(base, k)
        if found is None:
            outliers.append(k)
            if len(outliers) == 3:  # SILENT on the time up to the new base, which is the third: missing
                out.append(Interval(t[base], t[k], None, MISSING, True))
                base, outliers = k, []
            continue
        outliers = []
        a, b = int(t[base]), int(t[k])
        limit = limits[a // DAY]
        if found == "reset":
            since = max([a] + [boot for boot in boots if a < boot <= b])
            fits = v[k] <= p_max * (b - since) / 1000
            if since > a:
                out.append(Interval(a, since, None, MISSING, True))
            if since < b:
                state = COVERED if fits else MISSING  # "covered from then on", however long it is
                out.append(Interval(since, b, float(v[k]) if state != MISSING else None, state, False))
        elif found == "ambiguous" or b - a > DAY:
            out.append(Interval(a, b, None, MISSING, True))
        elif b - a > limit or ended_between(ends, a, b):  # C5, N3
            out.append(Interval(a, b, float(found), INTERPOLATED, False))
        else:
            out.append(Interval(a, b, float(found), COVERED, False))
        base = k
    return out


def cut(intervals, holders):
    """C6: cuts intervals of known energy at run edges."""
    edges = holders.edges
    inside = [[e for e in edges[bisect.bisect_right(edges, i.a) : bisect.bisect_left(edges, i.b)]] for i in intervals]
    full = [i.j is not None and not e for i, e in zip(intervals, inside)]
    power = [i.j / (i.b - i.a) if i.j is not None else 0.0 for i in intervals]  # J/ms
    out = []

    def neighbours(n, step):
        """P1, P2: the two full intervals nearest on one side, the first adjoining."""
        found, k = [], n + step
        while 0 <= k < len(intervals) and len(found) < 2:
            if full[k]:
                found.append(power[k])
            k += step
        return found

    for n, (i, cuts) in enumerate(zip(intervals, inside)):
        if i.j is None:
            out.append(Piece(i.a, i.b, 0.0, 0.0, MISSING))
            continue
        if not cuts or i.even:
            out.append(Piece(i.a, i.b, power[n], power[n], i.state))
            continue
        bounds = [i.a, *cuts, i.b]
        tau = [y - x for x, y in zip(bounds, bounds[1:])]
        sets = [holders.at((x + y) / 2) for x, y in zip(bounds, bounds[1:])]
        known = [None] * len(tau)
        for piece, near in ((0, n - 1), (len(tau) - 1, n + 1)):
            if 0 <= near < len(intervals) and full[near]:
                neighbour = intervals[near]
                adjoins = neighbour.b == i.a if near < n else neighbour.a == i.b
                if adjoins and holders.at((neighbour.a + neighbour.b) / 2) == sets[piece]:
                    known[piece] = power[near]
        given = [0.0 if p is None else p * x for p, x in zip(known, tau)]
        left = i.j - sum(given)
        if all(p is None for p in known):
            given = [i.j * x / (i.b - i.a) for x in tau]
        elif any(p is None for p in known):
            if left < 0:
                given = [g * i.j / sum(given) for g in given]
            else:
                unknown = sum(x for p, x in zip(known, tau) if p is None)
                given = [left * x / unknown if p is None else g for p, x, g in zip(known, tau, given)]
        else:  # two pieces, least squares
            weights = []
            for side, x in ((-1, tau[0]), (1, tau[-1])):
                near = neighbours(n, side)
                p1, p2 = near[0], near[-1]
                weights.append((x * max(abs(p1 - p2), 0.02 * p1)) ** 2)
            if sum(weights) > 0:
                given = [g + left * w / sum(weights) for g, w in zip(given, weights)]
            else:  # SILENT: both sides draw nothing
                given = [g + left * x / sum(tau) for g, x in zip(given, tau)]
            if min(given) < 0:
                given = [max(0.0, g) for g in given]
                given = [g * i.j / sum(given) for g in given]
        for x, y, g in zip(bounds, bounds[1:], given):
            out.append(Piece(x, y, g / (y - x), g / (y - x), i.state))
    return out


def gauge_pieces(t, w, ends, holders):
    """C3, C5 for a power in W."""
    limits, edges, out = gap_limits(t), holders.edges, []
    for k in range(len(t) - 1):
        a, b = int(t[k]), int(t[k + 1])
        if b - a > limits[a // DAY] or ended_between(ends, a, b):
            out.append(Piece(a, b, 0.0, 0.0, MISSING))
            continue
        p, q = w[k] / 1000, w[k + 1] / 1000
        cuts = edges[bisect.bisect_right(edges, a) : bisect.bisect_left(edges, b)]
        if not cuts:
            out.append(Piece(a, b, p, q, COVERED))
            continue
        out.append(Piece(a, cuts[0], p, p, COVERED))
        for x, y in zip(cuts, cuts[1:]):
            out.append(Piece(x, y, (p + q) / 2, (p + q) / 2, INTERPOLATED))
        out.append(Piece(cuts[-1], b, q, q, COVERED))
    return out


class Curve:
    """Pieces in order; energy and seconds of any window."""

    def __init__(self, pieces):
        self.pieces = pieces
        self.starts = [p.a for p in pieces]

    def over(self, a, b):
        """Energy in J, covered and interpolated seconds of [a, b)."""
        joules, seconds = [], {COVERED: 0, INTERPOLATED: 0, MISSING: 0}
        k = max(0, bisect.bisect_right(self.starts, a) - 1)
        while k < len(self.pieces) and self.pieces[k].a < b:
            p = self.pieces[k]
            x, y = max(a, p.a), min(b, p.b)
            if y > x:
                seconds[p.state] += y - x
                if p.state != MISSING:
                    if p.p == p.q:
                        joules.append(p.p * (y - x))
                    else:
                        slope = (p.q - p.p) / (p.b - p.a)
                        joules.append((p.p + slope * ((x + y) / 2 - p.a)) * (y - x))
            k += 1
        return math.fsum(joules), seconds[COVERED] / 1000, seconds[INTERPOLATED] / 1000

    def known(self, a, b):
        """Spans of [a, b) of which the energy is known."""
        out = []
        k = max(0, bisect.bisect_right(self.starts, a) - 1)
        while k < len(self.pieces) and self.pieces[k].a < b:
            p = self.pieces[k]
            x, y = max(a, p.a), min(b, p.b)
            if y > x and p.state != MISSING:
                if out and out[-1][1] == x:
                    out[-1] = (out[-1][0], y)
                else:
                    out.append((x, y))
            k += 1
        return out


def both(left, right):
    """Intersection of two lists of spans."""
    out = []
    for a, b in left:
        for c, d in right:
            if min(b, d) > max(a, c):
                out.append((max(a, c), min(b, d)))
    return out


def less(spans, holes):
    for c, d in holes:
        spans = [s for a, b in spans for s in ((a, min(b, c)), (max(a, d), b)) if s[1] > s[0]]
    return spans


def length(spans):
    return sum(b - a for a, b in spans) / 1000


class Holders:
    """Which runs hold a device, and when that changes."""

    def __init__(self, runs, else_runs=()):
        self.runs, self.else_runs = runs, else_runs
        edges = sorted({x for r in [*runs, *else_runs] for x in (r.start, r.end)})
        self.edges = [e for e in edges if self.at(e - 1) != self.at(e)]

    def at(self, t):
        found = frozenset(r.number for r in self.runs if r.start <= t < r.end)
        return found or frozenset(r.number for r in self.else_runs if r.start <= t < r.end)


# ---- §4 Models -------------------------------------------------------------------------------------------------


def interpolate(curve, u):
    return float(np.interp(u, [x for x, _ in curve], [y for _, y in curve]))


def tdp_curve(tdp):
    return [(0.0, 0.12 * tdp), (0.1, 0.32 * tdp), (0.5, 0.75 * tdp), (1.0, 1.02 * tdp)]


def plain_name(name):
    """A processor's name without marks, clock and filler, for the table."""
    name = re.sub(r"\((r|tm)\)|@.*|\bCPU\b|\bProcessor\b|\b\d+-Core\b", " ", name, flags=re.IGNORECASE)
    return " ".join(name.lower().split())


def load_tables():
    cpus, gpus = {}, {}
    for file in ("cpu_tdp.csv", "cpu_hand.csv"):
        with open(os.path.join(DATA, file), encoding="utf-8") as f:
            for row in csv.DictReader(x for x in f if not x.startswith("#")):
                cpus[plain_name(row["name"])] = (float(row["tdp_w"]), float(row["threads"] or 0))
    with open(os.path.join(DATA, "gpu_tdp.csv"), encoding="utf-8") as f:
        for row in csv.DictReader(x for x in f if not x.startswith("#")):
            for name in row["names"].split("|"):
                gpus[name.strip().lower()] = float(row["tdp_w"])
    return cpus, gpus


# ---- A node -----------------------------------------------------------------------------------------------------

P_MAX = {"cpu": 600.0, "dram": 200.0, "gpu": 1200.0, "node": 50_000.0}  # C2
IDLE_MODES, GUEST = ("idle", "iowait", "steal"), ("guest", "guest_nice")


class Device:
    def __init__(self, node, component, name, holders):
        self.node, self.component, self.name, self.holders = node, component, name, holders
        self.curves = {}  # method → Curve, best first
        self.static_w = 0.0


class Node:
    """All that is known of one node: devices with curves, size, when it was there."""

    def __init__(self, name, series, runs, settings, tables):
        self.name, self.series, self.settings = name, series, settings
        self.runs = [r for r in runs if name in r.nodes]
        self.hardware = settings.hardware(name)
        self.cpu_tdps, self.gpu_tdps = tables
        self.labels = defaultdict(list)
        for s in series:
            self.labels[s.labels["__name__"]].append(s)
        self.boots = sorted({round(float(x) * 1000) for s in self.labels["node_boot_time_seconds"] for x in s.v[~np.isnan(s.v)]})
        self.meters = self.group()
        self.size()
        self.presence()
        self.holders = Holders(self.runs)
        self.devices = self.cpus() + self.drams() + self.gpus()
        self.meter = self.node_meter()
        self.job_cpu = self.job_times()
        self.job_memory = self.job_gauges("job-memory")
        available = self.meters.get(("dram", "memory-available"), {})
        self.available = [gauge_pieces(*self.clean(x, 1.0, math.inf), Holders([])) for x in available.values()]

    def group(self):
        """N2: (component, quantity) → device → [(series, catalog row)]."""
        out = defaultdict(lambda: defaultdict(list))
        for s in self.series:
            row = self.settings.row(s.labels)
            if row is None or row["quantity"] in ("part", "unusable"):
                continue
            if any(s.labels.get(k, "") != x for k, x in row.get("only", {}).items()):
                continue
            device = ""
            for source in row.get("device", []):
                text = s.labels.get(source["label"], "")
                if "pattern" in source:
                    found = re.search(source["pattern"], text)
                    text = found[1] if found else ""
                if text:
                    device = text
                    break
            if row["component"] == "gpu":
                device = gpu_key(device)
            out[row["component"], row["quantity"]][device].append((s, row))
        return out

    def size(self):
        """W4, and sockets and threads for §4."""
        info = {}
        for s in self.labels["node_cpu_info"]:
            info[s.labels["cpu"]] = s.labels
        self.cpu_model = self.hardware.get("cpu_model") or next((x["model_name"] for x in info.values() if "model_name" in x), "")
        self.packages = sorted({x.get("package", "0") for x in info.values()}) or [str(k) for k in range(self.hardware.get("sockets", 1))]
        self.sockets = len(self.packages)
        logical = len({s.labels["cpu"] for s, _ in self.meters.get(("cpu", "cpu-time"), {}).get("", []) if "cpu" in s.labels}) or len(info)
        self.logical = logical
        cores = len({(x.get("package"), x.get("core")) for x in info.values()}) or logical
        most = most_at_once(self.runs, lambda r: r.cpus or 0)
        self.cores = self.hardware.get("cpus") or (logical if most > cores else cores) or most
        memory = self.hardware.get("memory")
        self.memory = float(amount(str(memory))) if memory else None
        totals = [s for s, _ in self.meters.get(("dram", "memory"), {}).get("", [])]
        self.installed = float(np.nanmax(totals[0].v)) if totals else None
        self.memory = self.memory or self.installed or most_at_once(self.runs, lambda r: r.memory or 0)

    def presence(self):
        """C5: when the node should have been seen."""
        row = self.settings.row
        jobs = lambda s: (row(s.labels) or {}).get("quantity", "").startswith("job-")
        seen = [s.t[~np.isnan(s.v)] for s in self.series if not jobs(s)]
        seen = np.unique(np.concatenate([x for x in seen if len(x)]))
        self.present = [(int(seen[0]), int(seen[-1]))]
        steps = np.diff(seen)
        self.present = less(self.present, [(int(seen[k]), int(seen[k + 1])) for k in np.flatnonzero(steps > DAY)])
        # SILENT: a target that shows nothing but the whole node's meter (a BMC) answers while the node is off
        target = lambda s: (s.labels.get("job"), s.labels.get("instance"))
        inside = {target(s) for s in self.series if s.labels["__name__"] != "up" and (row(s.labels) or {}).get("component") != "node"}
        ups = [s for s in self.labels["up"] if target(s) in inside]
        self.off = []
        if ups:
            t = np.unique(np.concatenate([s.t for s in ups]))
            alive = np.unique(np.concatenate([s.t[s.v == 1] for s in ups] or [[]]))
            for boot in self.boots:
                # SILENT on where "off" begins: at the last `up` that is 1, if one that is 0 follows before the boot
                before = alive[alive < boot]
                if len(before) and np.any((t > before[-1]) & (t < boot)):
                    self.off.append((int(before[-1]), boot))
            self.present = less(self.present, self.off)

    def clean(self, group, scale, p_max):
        """C5: NaN, infinities, negative readings, blanks and powers over P_max are dropped."""
        series = [s for s, _ in group]
        t, v, ends = stitch(series)
        blanks = [x for _, row in group for x in row.get("blank", [])]
        bad = ~np.isfinite(v) | (v < 0) | np.isin(v, blanks) | ((v >= 2.0**63 - 2048) & bool(blanks))
        v = v * scale
        bad |= v > p_max
        return t[~bad], v[~bad], ends

    def counters(self, component, p_max):
        out = {}
        for device, group in self.meters.get((component, "energy"), {}).items():
            row = group[0][1]
            t, v, ends = self.clean(group, row["scale"], math.inf)
            if component in ("cpu", "dram"):
                t, v = drop_still_days(t, v, True)
            if len(t) > 1:
                out[device] = counter_intervals(t, v, ends, row, p_max, self.boots)
        return out

    # Processors

    def cpu_power(self):
        """§4: P(u) of one socket, or None."""
        curve = self.hardware.get("cpu_curve_w")
        if curve:
            return [(k / (len(curve) - 1), float(x)) for k, x in enumerate(curve)]
        tdp = self.hardware.get("cpu_tdp_w") or self.cpu_tdps.get(plain_name(self.cpu_model), (None,))[0]
        tdp = tdp or self.settings.power.get("default_cpu_tdp_w")
        return tdp_curve(tdp) if tdp else None

    def cpu_limit(self):
        tdp = self.hardware.get("cpu_tdp_w") or self.cpu_tdps.get(plain_name(self.cpu_model), (None,))[0]
        return 1.5 * tdp if tdp else P_MAX["cpu"]

    def busy(self):
        """C4: (a, b, mean utilisation) between scrapes, and max_gap of it."""
        group = self.meters.get(("cpu", "cpu-time"), {}).get("")
        if not group:
            return [], []
        by_cpu = defaultdict(lambda: defaultdict(list))
        for s, _ in group:
            if s.labels["mode"] not in GUEST:
                by_cpu[s.labels["cpu"]][s.labels["mode"]].append(s)
        totals = {}
        for cpu, modes in by_cpu.items():
            grids, ends = [], []
            for mode, series in modes.items():
                t, v, e = stitch(series)
                grids.append((mode, dict(zip(t.tolist(), v.tolist()))))
                ends = sorted(set(ends) | set(e))
            common = sorted(set.intersection(*[set(g) for _, g in grids]))
            idle = np.array([[g[x] for x in common] for m, g in grids if m in IDLE_MODES]).sum(axis=0)
            every = np.array([[g[x] for x in common] for _, g in grids]).sum(axis=0)
            totals[cpu] = (np.array(common), idle, every, ends)
        spans = defaultdict(list)
        for t, idle, every, ends in totals.values():
            for k in range(len(t) - 1):
                a, b = int(t[k]), int(t[k + 1])
                d_idle, d_all = idle[k + 1] - idle[k], every[k + 1] - every[k]
                since = max([a] + [x for x in self.boots if a < x <= b])
                if a < since < b:  # C2: CPU time counts from the boot on
                    spans[a, since].append(None)
                    spans[since, b].append(min(1.0, max(0.0, 1 - idle[k + 1] / every[k + 1])) if every[k + 1] > 0 else None)
                # SILENT on a marker between (N3 speaks of counters and gauges): missing, as a gauge is
                elif d_all <= 0 or d_idle < 0 or ended_between(ends, a, b) or any(a < x <= b for x in self.boots):
                    spans[a, b].append(None)
                else:
                    spans[a, b].append(min(1.0, max(0.0, 1 - d_idle / d_all)))
        some = next(iter(totals.values()))[0]
        limits, out = gap_limits(some), []
        for (a, b), us in sorted(spans.items()):
            read = [u for u in us if u is not None]
            good = bool(read) and b - a <= limits[a // DAY]
            state = MISSING if not good else COVERED if len(read) == len(totals) else INTERPOLATED
            out.append((a, b, math.fsum(read) / len(read) if good else None, state))
        return out

    def cpus(self):
        curve = self.cpu_power()
        self.load = self.busy()
        stated = self.hardware.get("cpu_idle_w")
        static = float(stated) if stated is not None else curve[0][1] if curve else 0.0
        found, out = self.counters("cpu", self.cpu_limit()), []
        for name in sorted(found) or self.packages:  # SILENT on names where no meter names them: the kernel's package numbers
            device = Device(self.name, "cpu", name, self.holders)
            device.static_w = static
            if found:
                device.curves[COUNTER] = Curve(cut(found[name], self.holders))
            if curve and self.load:
                modelled = [
                    Interval(a, b, None if u is None else interpolate(curve, u) * (b - a) / 1000, s, False) for a, b, u, s in self.load
                ]
                device.curves[MODELLED] = Curve(cut(modelled, self.holders))
            out.append(device)
        return out if any(d.curves for d in out) or self.load else []

    # Memory

    def drams(self):
        found, out = self.counters("dram", P_MAX["dram"]), []
        for name in sorted(found):
            device = Device(self.name, "dram", name, self.holders)
            device.static_w = float(self.hardware.get("dram_idle_w", 0.0))
            device.curves[COUNTER] = Curve(cut(found[name], self.holders))
            out.append(device)
        for device in (out or [Device(self.name, "dram", "", self.holders)]) if ("dram", "memory") in self.meters else []:
            # C7: where the counter is not seen the model stands in, of each socket its part of what is installed
            parts = len(out) if device in out else 1
            if device not in out:
                device.static_w = float(self.hardware.get("dram_idle_w", 0.0)) * self.sockets
            t, v, ends = self.clean(self.meters["dram", "memory"][""], 1e-9, math.inf)
            w = v * self.settings.power.get("memory_w_per_gb", 0.3725) / parts
            device.curves[CONSTANT] = Curve(gauge_pieces(t, w, ends, self.holders))
            if device not in out:
                out = [device]
        return out

    # GPUs

    def gpus(self):
        kinds = {q: self.meters.get(("gpu", q), {}) for q in ("energy", "power", "utilisation", "power-limit")}
        names = sorted(set().union(kinds["energy"], kinds["power"], kinds["utilisation"]))
        self.bind(names)
        self.gpu_count = max(len(names), self.hardware.get("gpus", 0))
        energies = {}
        limits = {n: self.gpu_tdp(n, kinds["power-limit"]) for n in names}
        for n in names:
            if n in kinds["energy"]:
                row = kinds["energy"][n][0][1]
                t, v, ends = self.clean(kinds["energy"][n], row["scale"], math.inf)
                energies[n] = counter_intervals(t, v, ends, row, 1.5 * limits[n] if limits[n] else P_MAX["gpu"], self.boots)
        out = []
        for n in names:
            bound = [r for r in self.runs if n in self.bound[r.number]]
            loose = [r for r in self.runs if r not in bound and (not self.settings.gpus_told or r.gpus > len(self.bound[r.number]))]
            # SILENT on which runs "hold" a GPU that none is bound to: those that share the unbound ones
            device = Device(self.name, "gpu", n, Holders(bound, loose))
            p_max = 1.5 * limits[n] if limits[n] else P_MAX["gpu"]
            if n in energies:
                device.curves[COUNTER] = Curve(cut(energies[n], device.holders))
            if n in kinds["power"]:
                group = kinds["power"][n]
                t, w, ends = self.clean(group, group[0][1]["scale"], p_max)
                device.curves[GAUGE] = Curve(gauge_pieces(t, w, ends, device.holders))
            if n in kinds["utilisation"] and limits[n]:
                group = kinds["utilisation"][n]
                t, u, ends = self.clean(group, group[0][1]["scale"], math.inf)
                curve = self.hardware.get("gpu_curve_w")
                curve = [(k / (len(curve) - 1), float(x)) for k, x in enumerate(curve)] if curve else tdp_curve(limits[n])
                w = np.array([interpolate(curve, min(1.0, x)) for x in u])
                device.curves[MODELLED] = Curve(gauge_pieces(t, w, ends, device.holders))
            out.append(device)
        return out

    def gpu_tdp(self, name, limits):
        if self.hardware.get("gpu_tdp_w"):
            return float(self.hardware["gpu_tdp_w"])
        if name in limits:
            values = np.concatenate([s.v[~np.isnan(s.v)] for s, _ in limits[name]])
            if len(values):
                return float(np.max(values[values < 1e6]))
        models = [s.labels.get(row.get("model", ""), "") for q in ("energy", "power", "utilisation") for s, row in self.meters.get(("gpu", q), {}).get(name, [])]
        models += [s.labels.get("name", "") for s in self.labels["nvidia_smi_gpu_info"] if gpu_key(s.labels.get("uuid", "")) == name]
        if self.hardware.get("gpu_model"):
            models.insert(0, self.hardware["gpu_model"])
        return next((self.gpu_tdps[m.lower()] for m in models if m.lower() in self.gpu_tdps), self.settings.power.get("default_gpu_tdp_w"))

    def bind(self, names):
        """S1: GPUs of which a series says that a run has them."""
        self.bound = defaultdict(set)
        for quantity in ("energy", "power", "utilisation", "instance-activity"):
            for name, group in self.meters.get(("gpu", quantity), {}).items():
                for s, row in group:
                    job = s.labels.get(row.get("binding", ""), "")
                    if not job:
                        continue
                    t = s.t[~np.isnan(s.v)]
                    for r in self.runs:
                        if job in (r.job_id, r.id) and np.any((t >= r.start) & (t < r.end)):
                            self.bound[r.number].add(name)

    # The whole node

    def node_meter(self):
        for quantity, method in (("energy", COUNTER), ("power", GAUGE)):
            group = self.meters.get(("node", quantity), {}).get("")
            if group and quantity == "power":
                t, w, ends = self.clean(group, group[0][1]["scale"], P_MAX["node"])
                return method, Curve(gauge_pieces(t, w, ends, Holders([])))
        return None

    # What single jobs use

    def job_times(self):
        """S2: CPU seconds of each run as pieces of a rate."""
        groups = dict(self.meters.get(("cpu", "job-cpu-time"), {}))
        parts = self.meters.get(("cpu", "job-cpu-time-part"), {})
        out = {}
        for r in self.runs:
            jobs = [j for j in (r.job_id, r.id) if j in groups or j in parts]
            if not jobs:
                continue
            if jobs[0] in groups:
                t, v, ends = self.clean(groups[jobs[0]], groups[jobs[0]][0][1]["scale"], math.inf)
            else:
                by_metric = defaultdict(list)
                for s, row in parts[jobs[0]]:
                    key = tuple(sorted((k, x) for k, x in s.labels.items() if k in ("__name__", "core", "mode", "groupname")))
                    by_metric[key].append((s, row))
                sums = defaultdict(list)
                for group in by_metric.values():
                    t, v, ends = self.clean(group, group[0][1]["scale"], math.inf)
                    for x, y in zip(t.tolist(), v.tolist()):
                        sums[x].append(y)
                sums = {x: math.fsum(y) for x, y in sums.items() if len(y) == len(by_metric)}
                t, v = np.array(sorted(sums), dtype=np.int64), np.array([sums[x] for x in sorted(sums)])
            inside = (t >= r.start) & (t < r.end)
            t, v = t[inside], v[inside]
            if not len(t):
                continue
            pieces, a, base = [], r.start, 0.0
            for x, y in zip(t.tolist(), v.tolist()):
                rise = y - base if y >= base else y
                if x > a:
                    # S2 for the first value, C5 for the others.
                    known = x - a <= (max_gap(t) if a == r.start else DAY)
                    pieces.append(Piece(a, x, rise / (x - a) if known else 0.0, rise / (x - a) if known else 0.0, COVERED if known else MISSING))
                a, base = x, y
            if pieces:
                # SILENT on which interval: the one before the last sample, to the end of the run at most
                step = typical_step(t) or pieces[-1].b - pieces[-1].a  # SILENT on a single sample: as long as from the start to it
                end = min(r.end, a + round(step))
                if end > a and pieces[-1].state == COVERED:
                    pieces.append(Piece(a, end, pieces[-1].p, pieces[-1].p, COVERED))
                out[r.number] = Curve(pieces)
        return out

    def job_gauges(self, quantity):
        """S3: bytes in use of each run."""
        groups = self.meters.get(("dram", quantity), {})
        out = {}
        for r in self.runs:
            job = next((j for j in (r.job_id, r.id) if j in groups), None)
            if job is not None:
                t, v, ends = self.clean(groups[job], groups[job][0][1]["scale"], math.inf)
                inside = (t >= r.start) & (t < r.end)
                out[r.number] = Curve(held(t[inside], v[inside], ends, r))
        return out


def held(t, v, ends, run):
    """SILENT on the ends of a gauge of a run: its first and last value hold to the run's ends within one interval."""
    if not len(t):
        return []
    pieces = gauge_pieces(t, v, ends, Holders([]))
    step = round(typical_step(t)) or 0
    first, last = int(t[0]), int(t[-1])
    if step:
        if first > run.start:
            pieces.insert(0, Piece(max(run.start, first - step), first, v[0] / 1000, v[0] / 1000, COVERED))
        if last < run.end:
            pieces.append(Piece(last, min(run.end, last + step), v[-1] / 1000, v[-1] / 1000, COVERED))
    return pieces


def most_at_once(runs, what):
    events = sorted([(r.start, 1, what(r)) for r in runs] + [(r.end, 0, -what(r)) for r in runs])
    most = now = 0.0
    for _, _, change in events:
        now += change
        most = max(most, now)
    return most


# ---- §5, §6 Who -------------------------------------------------------------------------------------------------


def whole_of(curve, a, b, what):
    """SILENT on when the node's own figure "is not known": under 90 % of the slice, as a run's."""
    amount, covered, between = curve.over(a, b)
    seconds = (b - a) / 1000
    return what(amount / (covered + between)) * seconds if covered + between >= 0.9 * seconds else None


class Book:
    def __init__(self, node, settings):
        self.node, self.settings = node, settings
        self.rows = {}

    def rest(self, a):
        """W1, W2, W3 for what no run has."""
        if not self.settings.knows(self.node.name):
            return "infrastructure"
        return "idle" if self.settings.covered[0] <= a < self.settings.covered[1] else "unattributed"

    def fraction(self, run, what):
        """Allocated part of the node. S3, S4: cores where the log has no memory; all where it has no cores."""
        node = self.node
        cpu = 1.0 if run.cpus is None else run.cpus / node.cores if node.cores else 0.0
        if what == "cpu":
            return cpu
        memory = cpu if run.memory is None or not node.memory else run.memory / node.memory
        if what == "memory":
            return memory
        gpu = run.gpus / node.gpu_count if node.gpu_count else 0.0
        return max(cpu, memory if run.memory is not None else 0.0, gpu)

    @staticmethod
    def capped(shares):
        """S5"""
        most = max(1.0, math.fsum(shares.values()))
        return {k: x / most for k, x in shares.items()}

    def used(self, runs, curves, a, b):
        """Amount of each run in the slice, scaled to the slice, or None where one is not known over 90 % of it."""
        out = {}
        for r in runs:
            curve = curves.get(r.number)
            if curve is None:
                return None
            amount, covered, between = curve.over(a, b)
            known = (covered + between) * 1000 / (b - a)
            if known < 0.9:
                return None
            out[r.number] = amount / known
        return out

    def shares(self, device, runs, a, b, joules, seconds):
        """[(beneficiary, share, how)] of a device in a slice; what is left is the remainder."""
        component = device.component
        if not self.settings.knows(self.node.name):
            return [("infrastructure", 1.0)]
        rest = self.rest(a)
        if component == "gpu":
            bound = [r for r in runs if device.name in self.node.bound[r.number]]
            if bound:
                parts = self.capped({r.number: 1.0 for r in bound})
            else:
                # S1 "where the log has none": read as: where no run of the whole log has any
                if not self.settings.gpus_told:
                    parts = self.capped({r.number: self.fraction(r, "cpu") for r in runs})
                    return [*parts.items(), (rest, 1 - math.fsum(parts.values()))]
                taken = {g for r in runs for g in self.node.bound[r.number]}
                free = self.node.gpu_count - len(taken)
                parts = self.capped({r.number: x / free for r in runs if (x := r.gpus - len(self.node.bound[r.number])) > 0}) if free else {}
            return [*parts.items(), (rest, 1 - math.fsum(parts.values()))]
        what = {"cpu": "cpu", "dram": "memory", "other": "largest"}[component]
        by_size = self.capped({r.number: self.fraction(r, what) for r in runs})
        if self.settings.share == "usage" and component in ("cpu", "dram") and runs and joules > 0:
            use = self.used(runs, self.node.job_cpu if component == "cpu" else self.node.job_memory, a, b)
            whole = None
            if use is not None:
                total = math.fsum(use.values())
                whole = self.node_busy(a, b) if component == "cpu" else self.memory_in_use(a, b)
                whole = max(total, whole or 0.0)
            if whole:
                static = min(joules, device.static_w * seconds) / joules
                parts = {k: static * x + (1 - static) * use[k] / whole for k, x in by_size.items()}
                left = static * (1 - math.fsum(by_size.values()))
                nobody = (1 - static) * (1 - total / whole)
                return [*parts.items(), (rest, left), ("unattributed", nobody)]
        return [*by_size.items(), (rest, 1 - math.fsum(by_size.values()))]

    def node_busy(self, a, b):
        return whole_of(self.node.load_curve, a, b, lambda mean: mean * self.node.logical)

    def memory_in_use(self, a, b):
        if not self.node.available or not self.node.installed:
            return None
        return whole_of(Curve(self.node.available[0]), a, b, lambda mean: self.node.installed - mean)

    def work(self):
        node, window = self.node, self.settings.window
        node.load_curve = Curve([Piece(a, b, (u or 0.0) / 1000, (u or 0.0) / 1000, s) for a, b, u, s in node.load])
        edges = {*self.settings.buckets, *self.settings.covered, *window}
        edges |= {e for e in node.holders.edges}
        edges = sorted(e for e in edges if window[0] <= e <= window[1])
        for start, end in zip(self.settings.buckets, self.settings.buckets[1:]):
            a, b = max(start, window[0]), min(end, window[1])
            if b <= a:
                continue
            cuts = [a, *[e for e in edges if a < e < b], b]
            slices = [(x, y, [r for r in node.runs if r.start <= x < r.end]) for x, y in zip(cuts, cuts[1:])]
            self.bucket(start, a, b, slices)
        return self.rows

    def bucket(self, start, a, b, slices):
        node = self.node
        expected = length(both([(a, b)], node.present))
        chosen = []
        for device in node.devices:
            seen = {m: sum(c.over(a, b)[1:]) for m, c in device.curves.items()}
            method = next((m for m in seen if seen[m] >= 0.9 * expected and seen[m] > 0), None)  # C7
            method = method or max(seen, key=lambda m: seen[m], default=None)
            if method is not None and seen[method] == 0:
                method = None
            chosen.append((device, method))
        scale, other = self.whole(a, b, chosen, expected)
        for device, method in chosen:
            curve = device.curves.get(method)
            factor = scale if method in (MODELLED, CONSTANT) else 1.0
            for x, y, runs in slices:
                j, covered, between = curve.over(x, y) if curve else (0.0, 0.0, 0.0)
                self.post(start, device, method, runs, x, y, j * factor, covered, between)
        if other is not None:
            joules, method, spans = other
            device = Device(node.name, "other", "", None)
            known, whole = length(spans), (b - a) / 1000  # T1: spread evenly in its bucket, and its seconds with it
            for x, y, runs in slices:
                part = (y - x) / 1000 / whole
                self.post(start, device, method, runs, x, y, joules * part, known * part, 0.0)

    def whole(self, a, b, chosen, expected):
        """T1, T2: the factor for modelled parts, and (energy, method, where) of `other`."""
        node = self.node
        if node.meter is None:
            constant = float(node.hardware.get("other_w", 0.0))
            on = both([(a, b)], node.present)
            eta = node.hardware.get("psu_efficiency")
            if eta:
                total = math.fsum(d.curves[m].over(a, b)[0] for d, m in chosen if m)
                loss = (total + constant * length(on)) * (1 / eta - 1)
                return 1.0, (constant * length(on) + loss, CONSTANT, on)
            return 1.0, (constant * length(on), CONSTANT, on) if constant else None
        inside = self.settings.gpu_in_node_meter
        has_gpus = any(d.component == "gpu" for d, _ in chosen)
        if has_gpus and inside == "unknown":
            return 1.0, None
        # A part that has a method and was not seen in this bucket is a part all the same: nothing is covered then
        parts = [(d.curves.get(m, Curve([])), m) for d, m in chosen if d.curves and (d.component != "gpu" or inside == "yes")]
        method, meter = node.meter
        spans = meter.known(a, b)
        for curve, _ in parts:
            spans = both(spans, curve.known(a, b))
        measure = lambda curve: math.fsum(curve.over(x, y)[0] for x, y in spans)
        total = measure(meter)
        modelled = math.fsum(measure(c) for c, m in parts if m in (MODELLED, CONSTANT))
        measured = math.fsum(measure(c) for c, m in parts if m not in (MODELLED, CONSTANT))
        scale = 1.0
        if modelled > 0 and modelled + measured > total:
            scale = max(0.0, total - measured) / modelled
        other = max(0.0, total - measured - modelled * scale)
        if scale < 1.0:
            other = 0.0
        return scale, (other, method, spans)

    def post(self, start, device, method, runs, x, y, joules, covered, between):
        expected = length(both([(x, y)], self.node.present))
        # S2: "seconds" of the static part are those of which the energy is known
        if not expected and not joules:  # SILENT: no row where the node was not there
            return
        for who, share in self.shares(device, runs, x, y, joules, covered + between):
            if share <= 1e-12:
                continue
            key = (start, self.node.name, device.component, device.name, who)
            row = self.rows.setdefault(key, {"j": [], "covered": 0.0, "interpolated": 0.0, "expected": 0.0, "method": method})
            row["j"].append(joules * share)
            row["covered"] += covered
            row["interpolated"] += between
            row["expected"] += expected


# ---- Settings and the whole --------------------------------------------------------------------------------------


class Settings:
    def __init__(self, args, config):
        self.config, self.power = config, config.get("power", {})
        site, scheduler = config.get("site", {}), config.get("scheduler", {})
        self.pue = args.pue or site.get("pue", 1.0)
        self.share = args.share or scheduler.get("share", "usage")
        self.gpu_in_node_meter = args.gpu_in_node_meter or site.get("gpu_in_node_meter", "unknown")
        self.catalog, self.facts = catalog()
        self.scheduler_nodes = {n for text in scheduler.get("nodes", []) for n in host_list(text.lower())}
        self.jobs_from = instant(args.jobs_from or scheduler.get("jobs_from"))
        self.jobs_to = instant(args.jobs_to or scheduler.get("jobs_to"))

    def row(self, labels):
        for row in self.catalog.get(labels["__name__"], []):
            if all(re.fullmatch(p, labels.get(k, "")) for k, p in row.get("where", {}).items()):
                return row
        return None

    def hardware(self, node):
        out = {}
        for entry in self.config.get("hardware", []):
            if "nodes" not in entry or re.fullmatch(entry["nodes"], node):
                for key, value in entry.items():
                    out.setdefault(key, value)
        return out

    def knows(self, node):
        return node in self.scheduler_nodes


class Factors:
    """G3: a table `timestamp,gco2e_per_kwh` with even steps."""

    def __init__(self, path):
        self.starts, self.values = [], []
        if path:
            with open(path, encoding="utf-8") as file:
                rows = csv.DictReader(x for x in file if not x.startswith("#"))
                for row in rows:
                    self.starts.append(instant(row["timestamp"]))
                    self.values.append(float(row["gco2e_per_kwh"]))

    def at(self, t):
        k = bisect.bisect_right(self.starts, t) - 1
        return self.values[k] if 0 <= k < len(self.values) else None


def report(args):
    config = {}
    if args.config:
        with open(args.config, "rb") as file:
            config = tomllib.load(file)
    settings = Settings(args, config)
    series = load_dump(args.dump, set(settings.catalog) | set(settings.facts))
    runs, covered = load_jobs(args.jobs) if args.jobs else ([], (0, 0))
    settings.covered = (settings.jobs_from or covered[0], settings.jobs_to or covered[1])
    settings.gpus_told = any(r.gpus for r in runs)
    for r in runs:
        r.end = settings.covered[1] if r.end is None else r.end
        settings.scheduler_nodes.update(r.nodes)
    first = min(int(s.t[0]) for s in series)
    last = max(int(s.t[-1]) for s in series)
    settings.window = (instant(args.start, first), instant(args.end, last))
    factors = Factors(args.intensity)
    edges = set(range(settings.window[0] // HOUR * HOUR, settings.window[1] + HOUR, HOUR)) | set(factors.starts)
    settings.buckets = sorted(e for e in edges if settings.window[0] // HOUR * HOUR <= e <= settings.window[1] + HOUR)
    names = Names(series, config)
    nodes = defaultdict(list)
    for s in series:
        nodes[names.of(s.labels, settings.row(s.labels))].append(s)
    tables = load_tables()
    out = {}
    for name in sorted(nodes):
        out.update(Book(Node(name, nodes[name], runs, settings, tables), settings).work())
    result = []
    for (start, node, component, device, who), row in sorted(out.items(), key=lambda kv: tuple(str(x).zfill(20) for x in kv[0])):
        run = runs[who] if isinstance(who, int) else None
        joules = math.fsum(row["j"])
        facility = joules * settings.pue  # T3
        factor = factors.at(max(start, settings.window[0]))
        result.append(
            {
                "bucket_start": stamp(max(start, settings.window[0])),
                "node": node,
                "component": component,
                "device": device,
                "beneficiary": "run" if run else who,
                "run_id": run.id if run else "",
                "run_start": stamp(run.start) if run else "",
                "method": row["method"] or "none",
                "energy_j": joules,
                "facility_energy_j": facility,
                "covered_s": row["covered"],
                "interpolated_s": row["interpolated"],
                "expected_s": row["expected"],
                "emissions_gco2e": None if factor is None else facility / 3.6e6 * factor,  # G3
            }
        )
    return result


def stamp(ms):
    when = datetime.datetime.fromtimestamp(ms / 1000, datetime.timezone.utc)
    return when.strftime("%Y-%m-%dT%H:%M:%S") + (f".{ms % 1000:03}" if ms % 1000 else "") + "Z"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dump")
    parser.add_argument("--jobs")
    parser.add_argument("--config")
    parser.add_argument("--intensity")
    parser.add_argument("--pue", type=float)
    parser.add_argument("--share", choices=["usage", "allocated"])
    parser.add_argument("--gpu-in-node-meter", choices=["yes", "no", "unknown"])
    parser.add_argument("--from", dest="start")
    parser.add_argument("--to", dest="end")
    parser.add_argument("--jobs-from")
    parser.add_argument("--jobs-to")
    rows = report(parser.parse_args())
    out = csv.DictWriter(sys.stdout, list(rows[0]))
    out.writeheader()
    for row in rows:
        out.writerow({k: "" if x is None else repr(x) if isinstance(x, float) else x for k, x in row.items()})


if __name__ == "__main__":
    main()
