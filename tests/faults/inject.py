#!/usr/bin/env python3
"""Faults against wattledger: refused system calls, kills, full disks, wrong clocks, two processes at once.

    tests/faults/inject.py --wattledger target/release/wattledger            all of it, about 15 minutes on two cores
    tests/faults/inject.py --quick                                           a sample of each, about 2 minutes
    tests/faults/inject.py --parts AC --scenario report --scenario convert   some of it

A  each operation on a file of the output in turn is refused (strace -e inject=…:error=…), then the program is killed at it
B  kills at random moments, with the disk put back in between and without; SIGTERM and SIGINT, which leave nothing unfinished
C  full disks of many sizes, read-only and forbidden places, inputs that may not be read, files in the way
D  clocks in 1970, 2038, 2100, and one that goes back between two runs (needs faketime)
E  two processes at once on the same output, at random moments and with one held at a call while the other goes through

After each: no file under its final name is other than before or after an undisturbed run; a ledger passes `wattledger
verify`; the same command, undisturbed, then succeeds and ends in the same bytes; what failed says which file and why,
and nothing panics. Exit status 1 if any of that was not so. Needs Linux and strace; root for the mounts of C.

WATTLEDGER names the program where --wattledger does not. --work DIR keeps inputs and states in DIR, where the printed commands
find them.
"""

import argparse
import collections
import concurrent.futures
import datetime
import hashlib
import os
import pathlib
import random
import re
import shlex
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

# Operations by kind, each with what it is refused with. The last three only read.
KINDS = {
    "open": (["openat"], ["EACCES", "ENOSPC", "EIO"]),
    "write": (["write", "pwrite64", "writev"], ["ENOSPC", "EIO"]),
    "sync": (["fsync", "fdatasync"], ["EIO", "ENOSPC"]),
    "rename": (["rename", "renameat", "renameat2"], ["EACCES", "ENOSPC", "EIO"]),
    "mkdir": (["mkdir", "mkdirat"], ["ENOSPC", "EACCES"]),
    "chmod": (["chmod", "fchmod", "fchmodat"], ["EACCES", "EIO"]),
    "unlink": (["unlink", "unlinkat", "rmdir"], ["EACCES", "EIO"]),
    "link": (["link", "linkat"], ["EACCES", "ENOSPC"]),
    "lock": (["flock"], ["EIO", "ENOLCK"]),
    "truncate": (["ftruncate", "fallocate"], ["EIO", "ENOSPC"]),
    "copy": (["copy_file_range", "sendfile"], ["EIO", "ENOSPC"]),
    "open-read": (["openat"], ["EACCES", "EMFILE", "EIO"]),
    "read": (["read", "pread64"], ["EIO"]),
    "list": (["getdents64"], ["EIO"]),
    "stat": (["statx", "newfstatat", "fstat"], ["EACCES", "EIO"]),
}
READS = {"open-read", "read", "list", "stat"}
CAUSES = {name: os.strerror(getattr(__import__("errno"), name)) for _, errors in KINDS.values() for name in errors}
# Of a report it is the file that is named last.
LAST = "summary.json"
# What a writer has not finished and no reader takes for a result.
UNFINISHED = re.compile(r"^\..*\.tmp$|\.tmp-for-creation$|^\.wattledger-(convert|fetch)$")
STAMP = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
ONE_THREAD = {"RAYON_NUM_THREADS": "1", "POLARS_MAX_THREADS": "1"}


class Scenario:
    """A command that writes `out` in an empty directory, or in one in which the commands `before` were run."""

    def __init__(self, name, out, command, before=(), marks=False):
        self.name, self.out, self.command, self.before = name, out, command, list(before)
        # The file has instants in it, and a repeated mark is refused.
        self.marks = marks
        self.ledger = out == "ledger"


class Ran:
    def __init__(self, code, stdout, stderr):
        self.code, self.stdout, self.stderr = code, stdout, stderr
        self.text = stdout + stderr

    def said(self):
        """The error, or what stands in its place."""
        lines = self.stderr.strip().splitlines()
        return next((line for line in lines if line.startswith("error: ")), " / ".join(lines[-2:]))


class Bench:
    def __init__(self, options):
        self.program = str(pathlib.Path(options.wattledger).resolve())
        self.quick, self.random = options.quick, random.Random(options.seed)
        self.work = pathlib.Path(options.work or tempfile.mkdtemp(prefix="wattledger-faults-", dir=fast_place()))
        self.work.mkdir(parents=True, exist_ok=True)
        self.inputs = self.work / "in"
        self.states, self.server = {}, None
        self.violations = collections.OrderedDict()
        self.table = collections.OrderedDict()
        self.observed = collections.Counter()
        self.lock, self.count = threading.Lock(), 0

    def run(self, command, cwd, env=None, prefix=(), program=None, stdout=subprocess.PIPE, timeout=300):
        asked = [*prefix, program or self.program, *command]
        kept = {name: value for name, value in os.environ.items() if not name.startswith("WATTLEDGER")}
        ran = subprocess.run(asked, cwd=cwd, env={**kept, "LC_ALL": "C", **(env or {})}, stdin=subprocess.DEVNULL,
                             stdout=stdout, stderr=subprocess.PIPE, timeout=timeout)
        text = lambda pipe: (pipe or b"").decode(errors="replace")
        return Ran(ran.returncode, text(ran.stdout), text(ran.stderr))

    def start(self, command, cwd, env=None, prefix=()):
        return subprocess.Popen([*prefix, self.program, *command], cwd=cwd, env={**os.environ, "LC_ALL": "C", **(env or {})},
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def must(self, command, cwd, env=None):
        ran = self.run(command, cwd, env)
        if ran.code != 0:
            sys.exit(f"the undisturbed `{shlex.join(map(str, command))}` fails ({ran.code}):\n{ran.text}")
        return ran

    def box(self, like=None):
        """A new directory, with the files of the directory `like`."""
        with self.lock:
            self.count += 1
            place = self.work / f"box{self.count}"
        if like:
            shutil.copytree(like, place, symlinks=True)
        else:
            place.mkdir()
        return place

    def state(self, scenario):
        """Before and after an undisturbed run, made once."""
        if scenario.name not in self.states:
            place = self.work / "before" / scenario.name
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir(parents=True)
            for command in scenario.before:
                self.must(command, place)
            before, afters, seconds = tree(place, scenario), [], []
            for env in [ONE_THREAD, {}, {}]:
                box = self.box(place)
                began = time.monotonic()
                self.must(scenario.command, box, env)
                seconds.append(time.monotonic() - began)
                afters.append(tree(box, scenario))
                shutil.rmtree(box)
            if any(after != afters[0] for after in afters):
                names = [name for name in afters[0] if afters[0][name] != afters[-1].get(name)]
                self.violate(scenario, "undisturbed", f"two runs differ in {names[:5]}", "")
            self.states[scenario.name] = (place, before, afters[0], statistics.median(seconds))
        return self.states[scenario.name]

    def violate(self, scenario, what, wrong, repeat):
        name = scenario if isinstance(scenario, str) else scenario.name
        with self.lock:
            plain = re.sub(r"[0-9a-f]{12,}(-[0-9a-f]+)?", "…", shown(wrong.split("\n")[0]))
            key = (name, re.sub(r"\d+", "N", plain)[:160])
            entry = self.violations.setdefault(key, [0, what, wrong, repeat])
            entry[0] += 1

    def tally(self, row, **counts):
        with self.lock:
            self.table.setdefault(row, collections.Counter()).update(counts)

    def repeat(self, scenario, prefix):
        place = self.state(scenario)[0]
        words = [*prefix, self.program, *scenario.command]
        return f"rm -rf /tmp/box; cp -a {place} /tmp/box; cd /tmp/box; {shlex.join(map(str, words))}"


def fast_place():
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


def tree(place, scenario, litter=None):
    """Each path below `place` with a hash of what it is; what is unfinished goes to `litter`."""
    found = {}
    for root, directories, files in os.walk(place):
        for name in list(directories):
            path = os.path.relpath(os.path.join(root, name), place)
            if UNFINISHED.search(name):
                directories.remove(name)
                if litter is not None:
                    litter.append(path)
            else:
                found[path] = "directory"
        for name in files:
            full = os.path.join(root, name)
            path = os.path.relpath(full, place)
            if UNFINISHED.search(name):
                if litter is not None:
                    litter.append(path)
                continue
            data = pathlib.Path(full).read_bytes()
            if scenario.marks:
                # An empty file of marks is none.
                if not data:
                    continue
                data = STAMP.sub(b"T", data)
            found[path] = f"{os.stat(full).st_mode & 0o777:o} {hashlib.sha256(data).hexdigest()}"
    return found


def halves(before, after, now):
    """Files that are neither as before nor as after."""
    wrong = []
    for path, what in now.items():
        if what == "directory":
            # A directory of a day without its day is a lost day.
            if path not in before and os.path.basename(path).startswith("date="):
                if not any(other.startswith(path + "/") for other in now):
                    wrong.append(f"{path} is empty")
        elif what not in (before.get(path), after.get(path)):
            known = path in before or path in after
            wrong.append(f"{path} is {'half of what it should be' if known else 'strange'}")
    # The file that says that the others are of one report is taken away before they change.
    wrong += [f"{path} is gone" for path in before if path not in now and path in after and os.path.basename(path) != LAST]
    return wrong


def mixed_places(before, after, now):
    """Directories in which some files are of the time before and some of the time after."""
    new = collections.defaultdict(set)
    for path in {*before, *after} - {path for path, what in [*before.items(), *after.items()] if what == "directory"}:
        if before.get(path) != after.get(path):
            new[os.path.dirname(path)].add(now.get(path) == after.get(path))
    return [place for place, kinds in new.items() if len(kinds) == 2]


def settle(bench, scenario, box, what, repeat):
    """Checks a box after a disturbed run: whole files, a sound ledger, and that the same command then succeeds.

    Returns what the box held, whether files of two times lie in it, and what was left unfinished.
    """
    before, after = bench.state(scenario)[1:3]
    litter = []
    now = tree(box, scenario, litter)
    for wrong in halves(before, after, now):
        bench.violate(scenario, what, f"{wrong}, after {what.split(' at ')[0]}", repeat)
    mixed = mixed_places(before, after, now)
    for place in mixed:
        if f"{place}/{LAST}" in now:
            bench.violate(scenario, what, f"files of two times in {place} pass for one report, after {what.split(' at ')[0]}", repeat)
    if scenario.ledger and (box / "ledger/ledger.json").exists():
        verified = bench.run(["verify", "--ledger", "ledger"], box)
        if verified.code != 0:
            said = next((line for line in verified.text.splitlines() if line.startswith(("wrong", "error"))), "?")
            bench.violate(scenario, what, f"verify fails after {what.split(' at ')[0]}: {said}",
                          f"{repeat}\n{bench.program} verify --ledger ledger")
    again = bench.run(scenario.command, box)
    left = []
    end = tree(box, scenario, left)
    # What is there already is refused by some commands.
    done_before = again.code == 1 and now == after == end
    if again.code != 0 and not done_before:
        bench.violate(scenario, what, f"the same command again fails ({again.code}): {again.said()}", f"{repeat}\n# again, undisturbed")
    elif end != after:
        names = sorted(path for path in {*end, *after} if end.get(path) != after.get(path))
        bench.violate(scenario, what, f"the same command again ends in other bytes: {names[:3]}", f"{repeat}\n# again, undisturbed")
    if litter:
        bench.observed[f"{scenario.name}: unfinished files left {'and kept by' if left else 'and removed by'} the next run"] += 1
    if left and scenario.ledger:
        bench.violate(scenario, what, "unfinished files outlive the next run", repeat)
    return now, bool(mixed), litter


def judge_message(bench, scenario, ran, causes, what, repeat, known, hit=()):
    """A failure tells file and cause."""
    said = ran.said()
    if not said.startswith("error: "):
        return bench.violate(scenario, what, f"exit {ran.code} without `error:`: {said}", repeat)
    if causes and not any(cause in said for cause in causes):
        bench.violate(scenario, what, f"the message lacks the cause: {said}", repeat)
    named = re.findall(r"`([^`]+)`", said)
    fits = lambda name: any(path == name or path.startswith(name.rstrip("/") + "/") or name.startswith(path + "/")
                            for path in known) or any(os.path.basename(name) in path for path in hit)
    if not any(fits(name) for name in named):
        of_temporary = any(UNFINISHED.search(part) for name in named for part in name.split("/"))
        bench.violate(scenario, what, f"the message names {'a temporary file' if of_temporary else 'no file'}: {shown(said)}", repeat)
    if ran.code != 1:
        bench.violate(scenario, what, f"exit status {ran.code} where the system refused: {said}", repeat)
    return None


# A: each operation on a file of the output

LINE = re.compile(r"^(\d+) +(\w+)\((.*)$")


def entries(log):
    """Calls of a trace in the order in which they began: thread, name, arguments."""
    for line in log.read_text(errors="replace").splitlines():
        found = LINE.match(line)
        if found:
            yield found.groups()


def paths_of(arguments, box):
    """Paths inside the box that a call is about, relative to it."""
    box = str(box)
    found = []
    for path in re.findall(r'"([^"]*)"', arguments) + re.findall(r"<(/[^>]*)>", arguments.split(" = ")[0]):
        path = path.removesuffix(" (deleted)")
        if path.startswith(box + "/"):
            found.append(os.path.relpath(path, box))
        elif path and not path.startswith("/"):
            found.append(os.path.normpath(path))
    return found


def is_for_writing(arguments):
    return any(flag in arguments for flag in ("O_WRONLY", "O_RDWR", "O_CREAT", "O_TMPFILE"))


def operations(bench, scenario, command=None):
    """The calls that are about files of the output: kind, name, how manieth of its thread, path."""
    command = command or scenario.command
    place = bench.state(scenario)[0]
    box = bench.box(place)
    log = bench.work / f"{box.name}.trace"
    names = sorted({name for calls, _ in KINDS.values() for name in calls})
    prefix = ["strace", "-f", "-qq", "-y", "-s", "0", "-o", str(log), "-e", "trace=" + ",".join(names)]
    ran = bench.run(command, box, ONE_THREAD, prefix)
    if ran.code != 0:
        sys.exit(f"strace does not run here, or not in one thread:\n{ran.text}")
    counts, found = collections.Counter(), []
    for thread, name, arguments in entries(log):
        counts[thread, name] += 1
        paths = paths_of(arguments, box)
        if not paths:
            continue
        for kind, (calls, _) in KINDS.items():
            if name in calls and (name != "openat" or is_for_writing(arguments) == (kind == "open")):
                found.append((kind, name, counts[thread, name], paths[-1]))
    shutil.rmtree(box)
    log.unlink()
    return found


def chosen(bench, found, is_slow):
    """All operations of a kind, or a sample where there are too many or each takes long."""
    by_kind = collections.defaultdict(dict)
    for kind, name, nth, path in found:
        by_kind[kind][name, nth] = path
    for kind, calls in by_kind.items():
        most = {True: (4, 1), False: (60, 12)}[bench.quick][kind in READS] // (4 if is_slow and not bench.quick else 1)
        calls = sorted(calls.items())
        if len(calls) > most:
            picked = {0, len(calls) - 1, *bench.random.sample(range(len(calls)), most)}
            calls = [calls[at] for at in sorted(picked)]
        yield kind, calls


def shown(path):
    """A path without what is new in each run."""
    path = re.sub(r"\.tmp\w+|\.[A-Za-z0-9]{6}\.tmp|#\d+", ".tmp", path)
    return re.sub(r"[0-9a-f]{64}|[0-9A-Z]{26}", "…", path)


def inject(bench, scenario, kind, name, nth, path, error):
    """One run with one fault: `error` is the name of one, or None for a kill."""
    place, before, after, _ = bench.state(scenario)
    fault = f"error={error}" if error else "signal=SIGKILL"
    short = ["strace", "-f", "-qq", "-o", "/tmp/trace", "-e", f"trace={name}", "-e", f"inject={name}:{fault}:when={nth}"]
    repeat = bench.repeat(scenario, ["env", *(f"{key}={value}" for key, value in ONE_THREAD.items()), *short])
    what = f"{error or 'SIGKILL'} at {name} {nth} ({shown(path)})"
    box = bench.box(place)
    log = bench.work / f"{box.name}.trace"
    traced = ["strace", "-f", "-qq", "-y", "-s", "0", "-o", str(log), *short[5:]]
    ran = bench.run(scenario.command, box, ONE_THREAD, traced)
    row = (scenario.name, kind)
    if error is None:
        hit = ran.code == -signal.SIGKILL
        bench.tally(row, killed=hit, missed=not hit)
        if hit:
            bench.tally(row, mixed=settle(bench, scenario, box, what, repeat)[1])
    else:
        hits = [paths_of(line[2], box) for line in entries(log) if "(INJECTED)" in line[2]]
        inside = [path for paths in hits for path in paths]
        # Where threads take turns the fault may fall on a call of something else.
        hits = all(hits) and hits
        bench.tally(row, injected=bool(hits), missed=not hits)
        if hits and (ran.code < 0 or "panicked" in ran.stderr):
            bench.violate(scenario, what, f"dies of it: {ran.stderr.strip().splitlines()[-2:]}", repeat)
        if hits:
            now = tree(box, scenario)
            if ran.code == 0:
                told = kind in READS and re.search(r"left out|left aside|could not|not up to date", ran.text)
                if now != after and not told:
                    names = sorted(path for path in {*now, *after} if now.get(path) != after.get(path))
                    bench.violate(scenario, what, f"exit 0 with other outputs after {kind}: {names[:3]}", repeat)
                bench.tally(row, unharmed=1)
                bench.observed[f"{scenario.name}: exit 0 although {name} was refused on {shown(path)}"] += 1
            else:
                known = {*before, *after, *inside}
                # What is there is asked in many ways; the next step says what is wrong.
                causes = [] if kind == "stat" else [CAUSES[error]]
                judge_message(bench, scenario, ran, causes, what, repeat, known, inside)
                bench.tally(row, failed=1)
            # Reading goes wrong before anything is written, or a file is left out: the ledger may have learnt less.
            mixed = settle(bench, scenario, box, what, repeat)[1] if not (kind in READS and ran.code == 0) else False
            bench.tally(row, mixed=mixed)
    shutil.rmtree(box, ignore_errors=True)
    log.unlink(missing_ok=True)


def part_a(bench, scenarios, pool):
    for scenario in scenarios:
        waiting = []
        found = operations(bench, scenario)
        for kind, calls in chosen(bench, found, bench.state(scenario)[3] > 0.4):
            errors = KINDS[kind][1]
            for at, ((name, nth), path) in enumerate(calls):
                faults = [errors[at % len(errors)]] + ([] if kind in READS else [None])
                waiting += [pool.submit(inject, bench, scenario, kind, name, nth, path, fault) for fault in faults]
        for one in waiting:
            one.result()
        print(f"A  {scenario.name}: {len(waiting)} faults", flush=True)


# B: kills at random moments


def kill_once(bench, scenario, box, moment, number=signal.SIGKILL):
    """How it ended, if the signal came before the end."""
    child = bench.start(scenario.command, box)
    time.sleep(moment)
    child.send_signal(number)
    _, err = child.communicate()
    is_killed = child.returncode in (-number, 128 + number)
    return Ran(child.returncode, "", err.decode(errors="replace")) if is_killed else None


def killed_alone(bench, scenario, moment, number):
    place = bench.state(scenario)[0]
    box = bench.box(place)
    name = signal.Signals(number).name
    what = f"{name} at {moment * 1000:.1f} ms"
    repeat = bench.repeat(scenario, ["timeout", "-s", name[3:], f"{moment:.4f}"])
    row = (scenario.name, f"random {name}")
    ran = kill_once(bench, scenario, box, moment, number)
    if ran:
        # What was fetched whole is kept on purpose, what was not is not.
        pieces = [path for path in box.glob("*/.wattledger-fetch/*.part")]
        _, mixed, litter = settle(bench, scenario, box, what, repeat)
        litter = [path for path in litter if not path.endswith("-fetch")] + [path.name for path in pieces]
        bench.tally(row, killed=1, mixed=mixed)
        if number != signal.SIGKILL and litter:
            bench.violate(scenario, what, f"{name} leaves unfinished files: {shown(litter[0])}", repeat)
        if ran.code == -number and number != signal.SIGKILL:
            bench.observed[f"{scenario.name}: dies of {name}, not by itself with {128 + number}"] += 1
    else:
        bench.tally(row, missed=1)
    shutil.rmtree(box)


def killed_in_a_row(bench, scenario, moments):
    """Kills without putting the disk back, then one undisturbed run."""
    place = bench.state(scenario)[0]
    box = bench.box(place)
    what = f"SIGKILL at {len(moments)} random moments in a row"
    repeat = bench.repeat(scenario, ["timeout", "-s", "KILL", "0.05"])
    for moment in moments:
        hit = bool(kill_once(bench, scenario, box, moment))
        bench.tally((scenario.name, "kills in a row"), killed=hit, missed=not hit)
        if not hit:
            break
    settle(bench, scenario, box, what, repeat)
    shutil.rmtree(box)


def part_b(bench, scenarios, pool, kills):
    wanted = [one for one in scenarios if one.name.startswith(("backfill", "report", "reprice", "import", "convert", "fetch"))]
    share = max(1, kills // max(1, len(wanted)))
    for scenario in wanted:
        seconds = bench.state(scenario)[3]
        moments = [bench.random.uniform(0, seconds) for _ in range(share)]
        # Half of them alone, a sixth by signals that can be heard, the others in rows of ten.
        alone, rest = moments[: share * 2 // 3], moments[share * 2 // 3:]
        numbers = [signal.SIGTERM, signal.SIGKILL, signal.SIGKILL, signal.SIGKILL, signal.SIGINT, signal.SIGKILL, signal.SIGKILL, signal.SIGKILL]
        waiting = [pool.submit(killed_alone, bench, scenario, moment, numbers[at % 8]) for at, moment in enumerate(alone)]
        waiting += [pool.submit(killed_in_a_row, bench, scenario, rest[at:at + 10]) for at in range(0, len(rest), 10)]
        for one in waiting:
            one.result()
        print(f"B  {scenario.name}: {share} kills within {seconds:.2f} s", flush=True)


# C: places that refuse


def mounted(place, *options):
    subprocess.run(["mount", *options, str(place)], check=True)


def unmounted(place):
    subprocess.run(["umount", "-l", str(place)], check=False)


def full_disk(bench, scenario, pages):
    """A run on a file system with `pages` pages of 4 KiB left."""
    place, before, after, _ = bench.state(scenario)
    box = bench.box()
    mounted(box, "-t", "tmpfs", "-o", "size=64m", "tmpfs")
    try:
        shutil.copytree(place, box, dirs_exist_ok=True)
        used = os.statvfs(box)
        # A size of nought would be no limit.
        size = max(used.f_blocks - used.f_bfree + pages, 1) * 4096
        mounted(box, "-o", f"remount,size={size}")
        what = f"a full disk at {pages} pages"
        repeat = (f"mkdir -p /tmp/box; mount -t tmpfs -o size=64m tmpfs /tmp/box; cp -a {place}/. /tmp/box; mount -o remount,size={size} /tmp/box; "
                  f"cd /tmp/box; {shlex.join([bench.program, *map(str, scenario.command)])}")
        ran = bench.run(scenario.command, box)
        now = tree(box, scenario)
        bench.tally(("full disk", scenario.name), injected=1, failed=ran.code != 0, unharmed=ran.code == 0)
        if ran.code < 0 or "panicked" in ran.stderr:
            bench.violate(scenario, what, f"dies of it: {ran.stderr.strip().splitlines()[-2:]}", repeat)
        elif ran.code != 0:
            judge_message(bench, scenario, ran, [CAUSES["ENOSPC"]], what, repeat, {*before, *after, scenario.out})
        elif now != after:
            bench.violate(scenario, what, "exit 0 with other outputs on a full disk", repeat)
        mounted(box, "-o", "remount,size=256m")
        bench.tally(("full disk", scenario.name), mixed=settle(bench, scenario, box, what, repeat)[1])
        return ran.code
    finally:
        unmounted(box)
        box.rmdir()


def full_disks(bench, scenario):
    need = 1
    while need < 4096 and full_disk(bench, scenario, need):
        need *= 2
    sizes = set(range(0, min(need, 8))) | {round(need * at / (4 if bench.quick else 16)) for at in range(1, 4 if bench.quick else 16)}
    for pages in sorted(sizes)[:3 if bench.quick else None]:
        full_disk(bench, scenario, pages)


def refused(bench, row, scenario, box, ran, causes, change, repeat):
    """A run that cannot succeed: it says why, and nothing but `change` is new."""
    place, before, after, _ = bench.state(scenario)
    now = tree(box, scenario)
    bench.tally((row, scenario.name), injected=1, failed=ran.code != 0, unharmed=ran.code == 0)
    if ran.code == 0:
        if not all(now.get(path) == what for path, what in after.items()):
            bench.violate(scenario, row, f"exit 0 with other outputs: {row}", repeat)
    elif ran.code < 0 or "panicked" in ran.stderr:
        bench.violate(scenario, row, f"dies of it: {ran.stderr.strip().splitlines()[-2:]}", repeat)
    else:
        said = ran.said()
        if not said.startswith("error: "):
            bench.violate(scenario, row, f"{row}: exit {ran.code} without `error:`: {said}", repeat)
        elif not re.search(r"`[^`]+`", said) or not any(cause in said for cause in causes):
            bench.violate(scenario, row, f"{row}: the message lacks file or cause: {said}", repeat)
        changed = sorted(path for path in {*now, *before} if now.get(path) != before.get(path) and path not in change
                         and "directory" not in (now.get(path), before.get(path)))
        if changed:
            bench.violate(scenario, row, f"{row}: it failed and changed {changed[:3]}", repeat)


def part_c(bench, scenarios, pool):
    if os.geteuid() != 0:
        print("C  needs root: left out")
        return
    for one in [pool.submit(full_disks, bench, scenario) for scenario in scenarios]:
        one.result()
    print("C  full disks", flush=True)
    nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    # Whoever is nobody has to reach the program.
    program = str(bench.work / "program")
    shutil.copy(bench.program, program)
    os.chmod(bench.work, 0o755)
    for scenario in scenarios:
        place, before, after, _ = bench.state(scenario)
        words = shlex.join(map(str, scenario.command))
        box = bench.box(place)
        mounted(box, "--bind", str(box))
        mounted(box, "-o", "remount,ro,bind")
        refused(bench, "read-only file system", scenario, box, bench.run(scenario.command, box), [os.strerror(30)], (),
                f"mount --bind BOX BOX; mount -o remount,ro,bind BOX; cd BOX; wattledger {words}")
        unmounted(box)
        refused(bench, "forbidden directory", scenario, box, bench.run(scenario.command, box, prefix=nobody, program=program),
                [CAUSES["EACCES"]], (), f"cd BOX; {shlex.join(nobody)} wattledger {words}")
        # Inputs that may not be read.
        for word in [str(word) for word in scenario.command if str(word).startswith(str(bench.inputs))]:
            hidden = [pathlib.Path(word), *pathlib.Path(word).glob("*/index")]
            modes = [path.stat().st_mode for path in hidden]
            shutil.rmtree(box)
            shutil.copytree(place, box)
            for root, _, files in os.walk(box):
                for name in [root, *(os.path.join(root, file) for file in files)]:
                    os.chown(name, 65534, 65534)
            for path in hidden[:1]:
                path.chmod(0)
            ran = bench.run(scenario.command, box, prefix=nobody, program=program)
            for path, mode in zip(hidden, modes):
                path.chmod(mode)
            known = {path for path in after if path.startswith(("ledger", "store"))}
            refused(bench, "unreadable input", scenario, box, ran, [CAUSES["EACCES"]], known,
                    f"chmod 0 {word}; cd BOX; {shlex.join(nobody)} wattledger {words}")
        shutil.rmtree(box)
        # A file where the output should be, which is for those that write directories; and no parent.
        is_file = after.get(scenario.out) != "directory"
        box = bench.box()
        if is_file:
            (box / scenario.out).mkdir()
        else:
            (box / scenario.out).write_text("somebody's\n")
        ran = bench.run(scenario.command, box)
        wrong = (box / scenario.out).is_dir() != is_file or not is_file and (box / scenario.out).read_text() != "somebody's\n"
        bench.tally(("something in the way", scenario.name), injected=1, failed=ran.code != 0, unharmed=ran.code == 0)
        if ran.code <= 0 or wrong or "panicked" in ran.stderr or "error: " not in ran.stderr or "`" not in ran.stderr:
            bench.violate(scenario, "something in the way", f"something in the way of the output: exit {ran.code} {ran.said()}",
                          f"echo > {scenario.out}; wattledger {words}")
        shutil.rmtree(box)
        if not scenario.before:
            box = bench.box()
            deep = [f"no/such/{word}" if at and str(scenario.command[at - 1]).startswith("--") and word == scenario.out else word
                    for at, word in enumerate(scenario.command)]
            ran = bench.run(deep, box)
            bench.tally(("no parent directory", scenario.name), injected=1, failed=ran.code != 0, unharmed=ran.code == 0)
            if ran.code != 0:
                judge_message(bench, scenario, ran, [os.strerror(2)], "no parent", f"wattledger {shlex.join(map(str, deep))}", {"no"})
            shutil.rmtree(box)
    # Data on standard output that nobody can take.
    ledger = bench.box(bench.state(scenarios_named(bench)["reprice"])[0])
    dump = bench.inputs
    for command in [["verify", "--ledger", "ledger"], ["jobs", dump / "jobs.txt"], ["inspect", "--snapshot", dump / "all"],
                    ["hardware", "H100"], ["backfill", "--ledger", "ledger", "--dry-run"],
                    ["intensity", "show", "--zone", "DE", "--from", "2024-01-01", "--to", "2024-01-02"],
                    ["report", "--snapshot", dump / "all", "--jobs", dump / "jobs.txt", "--zone", "DE", "--explain"]]:
        with open("/dev/full", "w", encoding="utf8") as full:
            ran = bench.run(command, ledger, stdout=full)
        bench.tally(("/dev/full", str(command[0])), injected=1, failed=ran.code != 0)
        if ran.code != 1 or CAUSES["ENOSPC"] not in ran.stderr:
            bench.violate("/dev/full", str(command[0]), f"{command[0]} > /dev/full: exit {ran.code} {ran.said()}",
                          f"wattledger {shlex.join(map(str, command))} > /dev/full")
    shutil.rmtree(ledger)
    # Closed standard streams: no file may get their numbers.
    for scenario in scenarios:
        place, _, after, _ = bench.state(scenario)
        box = bench.box(place)
        words = shlex.join([bench.program, *map(str, scenario.command)])
        subprocess.run(["sh", "-c", f"{words} <&- >&- 2>&-"], cwd=box, check=False)
        bench.tally(("closed streams", scenario.name), injected=1, unharmed=1)
        if tree(box, scenario) != after:
            bench.violate(scenario, "closed streams", "other outputs with standard streams closed", f"{words} <&- >&- 2>&-")
        shutil.rmtree(box)
    full_marks(bench)
    print("C  places that refuse", flush=True)


def full_marks(bench):
    """A mark of which a full disk takes the first bytes only."""
    scenario = scenarios_named(bench)["mark-stop"]
    box = bench.box()
    mounted(box, "-t", "tmpfs", "-o", "size=64k", "tmpfs")
    try:
        bench.must(["mark", "start", "one", "--node", "n1", "--user", "me", "--file", "marks.csv"], box)
        file = box / "marks.csv"
        # A line that ends ten bytes before the page does.
        line = f"zero,2024-06-03T00:00:00Z,2024-06-03T01:00:00Z,n1,{{}},me,,\n"
        room = 4096 - 10 - file.stat().st_size - len(line.format(""))
        file.write_text(file.read_text() + line.format("x" * room))
        before = file.read_bytes()
        mounted(box, "-o", "remount,size=4096")
        ran = bench.run(scenario.command, box)
        half = file.read_bytes()
        mounted(box, "-o", "remount,size=64k")
        bench.tally(("full disk", "mark, a part of a line"), injected=1, failed=ran.code != 0)
        repeat = "a file of marks that ends ten bytes before a page does, on a file system without another page; mark stop one"
        if ran.code != 1:
            bench.violate(scenario, "a full disk", f"exit {ran.code}: {ran.said()}", repeat)
        if half != before:
            bench.violate(scenario, "a full disk", f"half a line stays: {half[len(before):]!r}", repeat)
        again = bench.run(scenario.command, box)
        text = file.read_text().splitlines()
        if again.code != 0 or not re.fullmatch(r"one,[^,]+,[^,]+,n1,,me,,", text[-1]):
            bench.violate(scenario, "a full disk", f"after half a mark the next one is lost: exit {again.code} {again.said()} {text[-1]!r}", repeat)
    finally:
        unmounted(box)
        box.rmdir()


# D: clocks


def part_d(bench, scenarios):
    if not shutil.which("faketime"):
        print("D  needs faketime: left out")
        return
    for scenario in scenarios:
        if scenario.marks:
            continue
        place, before, after, _ = bench.state(scenario)
        for clock in ["1970-01-02 00:00:00", "2038-01-19 03:14:08", "2100-02-28 23:59:59", "2400-01-01 00:00:00"]:
            box = bench.box(place)
            prefix = ["faketime", "-f", f"@{clock}"]
            # The clock of files is the system's.
            ran = bench.run(scenario.command, box, {"NO_FAKE_STAT": "1", "TZ": "UTC"}, prefix)
            now = tree(box, scenario)
            bench.tally((f"clock {clock[:4]}", scenario.name), injected=1, failed=ran.code != 0, unharmed=ran.code == 0 and now == after)
            words = shlex.join(["faketime", "-f", f"@{clock}", "wattledger", *map(str, scenario.command)])
            if ran.code > 0 and ran.said().startswith("error: ") and clock[:4] in ran.said() and now == before:
                bench.observed[f"{scenario.name}: refuses, and names the clock of {clock[:4]}"] += 1
            elif ran.code == 0 and "begin after this machine's clock" in ran.stderr:
                bench.observed[f"{scenario.name}: makes no day of blocks after the clock of {clock[:4]}, and says so"] += 1
            elif ran.code != 0 or "panicked" in ran.stderr:
                bench.violate(scenario, f"clock {clock}", f"clock {clock[:4]}: exit {ran.code} {ran.said()}", words)
            elif now != after:
                names = sorted(path for path in {*now, *after} if now.get(path) != after.get(path))
                bench.violate(scenario, f"clock {clock}", f"clock {clock[:4]}: other bytes in {names[:4]} ({len(names)})\n{ran.stderr.strip()}", words)
            # The clock is put right, or goes back: the next run ends as ever.
            again = bench.run(scenario.command, box)
            if again.code == 0 and tree(box, scenario) != after:
                bench.violate(scenario, f"clock {clock}", f"clock {clock[:4]}, then right again: other bytes", words)
            shutil.rmtree(box)
    # Marks: a clock that goes back between start and stop.
    box = bench.box()
    bench.run(["mark", "start", "one"], box)
    ran = bench.run(["mark", "stop", "one"], box, {"NO_FAKE_STAT": "1"}, ["faketime", "-f", "@1999-01-01 00:00:00"])
    read = bench.run(["jobs", "wattledger-runs.csv"], box)
    bench.tally(("clock goes back", "mark"), injected=1, unharmed=ran.code == 0 and read.code == 0)
    if ran.code != 0 or read.code != 0:
        bench.violate("mark", "clock goes back", f"mark stop after the clock went back: {ran.text} {read.text}", "")
    shutil.rmtree(box)
    print("D  clocks", flush=True)


# E: two at once


class Pair:
    def __init__(self, name, scenario, one, other, reads=False, then=None):
        """`scenario` gives what is there before; `other` only reads where `reads` says so; `then` follows, alone."""
        self.name, self.scenario, self.one, self.other, self.reads, self.then = name, scenario, one, other, reads, then


def two_at_once(bench, pair, serial, offset, held=None):
    """Starts the second command `offset` seconds after the first, or before it. `held` is a call at which the first of both is
    halted for a while, so that the other goes through meanwhile."""
    place = bench.state(pair.scenario)[0]
    box = bench.box(place)
    first, second = (pair.one, pair.other) if offset >= 0 else (pair.other, pair.one)
    env, prefix, shown_prefix = {}, [], ""
    if held:
        name, nth, path = held
        halt = max(1, 2 * abs(offset))
        env = ONE_THREAD
        prefix = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={name}", "-e",
                  f"inject={name}:delay_enter={halt * 1e6:.0f}:when={nth}"]
        shown_prefix = shlex.join(["env", *(f"{key}={value}" for key, value in env.items()), *prefix]) + " "
    children = [bench.start(first, box, env, prefix)]
    time.sleep(abs(offset))
    children.append(bench.start(second, box))
    ended = []
    for child in children:
        out, err = child.communicate(timeout=300)
        ended.append(Ran(child.returncode, out.decode(errors="replace"), err.decode(errors="replace")))
    if offset < 0:
        ended.reverse()
    litter = []
    now = tree(box, pair.scenario, litter)
    words = [shlex.join([bench.program, *map(str, command)]) for command in (first, second)]
    repeat = f"rm -rf /tmp/box; cp -a {place} /tmp/box; cd /tmp/box; {shown_prefix}{words[0]} & sleep {abs(offset):.3f}; {words[1]}; wait"
    row = (pair.name, "two at once, one held" if held else "two at once")
    how = f"held at {held[0]} {held[1]} ({shown(held[2])})" if held else "two at once"
    fine = [ran.code == 0 for ran in ended]
    bench.tally(row, injected=1, failed=fine.count(False), unharmed=all(fine))
    for ran in ended:
        if ran.code < 0 or "panicked" in ran.stderr:
            bench.violate(pair.name, how, f"dies: {ran.said()}", repeat)
        elif ran.code != 0 and "hint:" not in ran.stderr and "to do:" not in ran.text:
            bench.violate(pair.name, how, f"fails without saying what to do: {ran.said() or ran.stdout.splitlines()[-3:]}", repeat)
        elif ran.code == 2:
            bench.violate(pair.name, how, f"takes the other for wrong usage: {ran.said()}", repeat)
    if pair.reads and not fine[1]:
        said = [line for line in ended[1].text.splitlines() if line.startswith(("wrong", "error"))]
        bench.violate(pair.name, how, f"a reader fails: {said[:1]}", repeat)
    expected = {(True, True): ("one-other", "other-one"), (True, False): ("one",), (False, True): ("other",), (False, False): ()}[tuple(fine)]
    if not expected:
        bench.violate(pair.name, how, f"both fail: {[ran.said() for ran in ended]}", repeat)
    elif now not in [serial[name] for name in expected]:
        near = serial[expected[0]]
        names = sorted(path for path in {*now, *near} if now.get(path) not in [serial[name].get(path) for name in expected])
        mixed = "" if names else " (each file is of one of them)"
        # Days appear one by one, and a reader between two of them sees what an interrupted writer would have left.
        if pair.reads and names and all(path.startswith("report/") for path in names):
            bench.observed[f"{pair.name}: a report of some days before and some after"] += 1
        else:
            bench.violate(pair.name, how, f"both say done, and the result is that of no order{mixed}: {names[:2]}"
                          if all(fine) else f"one was refused, and the result is not the other's: {names[:2]}", repeat)
    if litter:
        bench.violate(pair.name, how, f"unfinished files are left: {litter[:1]}", repeat)
    if pair.then or not all(fine):
        for command in [pair.then] if pair.then else [one for one, ok in zip((pair.one, pair.other), fine) if not ok]:
            bench.run(command, box)
        end = tree(box, pair.scenario)
        if end not in ([serial["then"]] if pair.then else [serial["one-other"], serial["other-one"]]):
            bench.violate(pair.name, how, "the refused one, said again, ends in other bytes", repeat)
    shutil.rmtree(box, ignore_errors=True)


def part_e(bench, pairs, rounds, pool):
    for pair in pairs:
        place, _, _, _ = bench.state(pair.scenario)
        serial, seconds = {}, 0
        orders = {"one": [pair.one], "other": [pair.other], "one-other": [pair.one, pair.other], "other-one": [pair.other, pair.one]}
        if pair.then:
            orders["then"] = [pair.then]
        for name, commands in orders.items():
            box = bench.box(place)
            for command in commands:
                began = time.monotonic()
                bench.run(command, box)
                seconds = max(seconds, time.monotonic() - began)
            serial[name] = tree(box, pair.scenario)
            shutil.rmtree(box)
        # Random moments, half of them closely together, one pair after the other: two at once on two cores.
        for _ in range(rounds):
            reach = seconds if bench.random.random() < 0.5 else seconds / 8
            two_at_once(bench, pair, serial, bench.random.uniform(-reach, reach))
        # One of both held at a call that is about the output, and the other goes through.
        waiting = []
        for command, sign in [(pair.one, 1), (pair.other, -1)]:
            calls = sorted({(name, nth): path for _, name, nth, path in operations(bench, pair.scenario, command)}.items())
            for (name, nth), path in bench.random.sample(calls, min(len(calls), max(2, rounds // 3))):
                waiting.append(pool.submit(two_at_once, bench, pair, serial, sign * (2 * seconds + 0.1), (name, nth, path)))
        for one in waiting:
            one.result()
        print(f"E  {pair.name}: {rounds} times at random, {len(waiting)} held", flush=True)


# Inputs, scenarios


def make_inputs(bench):
    """A small cluster of three days, its parts, tables of intensity and a table of samples."""
    place = bench.inputs
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    size = ["--nodes", "2", "--gpus", "1", "--cpus", "4", "--days", "3", "--runs", "24", "--scrape-interval", "300"]
    bench.must(["simulate", *size, "--out", place / "cluster"], place)
    blocks = sorted((place / "cluster/snapshot").iterdir())
    for name, wanted in [("two", blocks[:2]), ("third", blocks[2:]), ("all", blocks)]:
        (place / name).mkdir()
        for block in wanted:
            shutil.copytree(block, place / name / block.name)
    shutil.copy(place / "cluster/sacct.txt", place / "jobs.txt")
    # The last run's lines come late.
    header, *lines = (place / "jobs.txt").read_text().splitlines()
    ids = list(dict.fromkeys(re.match(r"\d+", line.split("|")[1]).group() for line in lines if line.split("|")[1]))
    late = set(ids[len(ids) // 2:len(ids) // 2 + 3])
    is_late = lambda line: re.match(r"\d+", line.split("|")[1]).group() in late
    (place / "early.txt").write_text("\n".join([header, *(line for line in lines if not is_late(line))]) + "\n")
    (place / "late.txt").write_text("\n".join([header, *(line for line in lines if is_late(line))]) + "\n")
    begin = datetime.datetime(2024, 6, 3, tzinfo=datetime.timezone.utc)
    hours = [begin + datetime.timedelta(hours=hour) for hour in range(96)]
    stamp = lambda instant: instant.strftime("%Y-%m-%dT%H:%M:%SZ")
    for name, zone, base in [("de", "DE", 300), ("fr", "FR", 50), ("de2", "DE", 400), ("de3", "DE", 500)]:
        part = {"de2": hours[48:72], "de3": hours[72:]}.get(name, hours[:48] if name != "de" else hours[:72])
        rows = "".join(f"{stamp(hour)},{base + at % 24}\n" for at, hour in enumerate(part))
        head = f"# source: a grid\n# release: 1\n# licence: CC0\n# basis: life-cycle average consumption\n# zone: {zone}\n"
        (place / f"{name}.csv").write_text(head + "timestamp,gco2e_per_kwh\n" + rows)
    for name, first in [("samples", 0), ("more", 36)]:
        rows = "".join(f"{stamp(hour)},ipmi_dcmi_power_consumption_watts,{400 + at % 7 + node},n{node}\n"
                       for at, hour in enumerate(hours[first:first + 36]) for node in range(20))
        (place / f"{name}.csv").write_text("timestamp,metric,value,instance\n" + rows)


def serving(bench):
    """A Prometheus with the samples, where one is installed, and its address."""
    if not shutil.which("prometheus"):
        print("no prometheus: no fetch")
        return None, None
    place = bench.work / "server"
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(bench.inputs / "all", place / "data")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    server = subprocess.Popen(["prometheus", "--config.file=/dev/null", "--storage.tsdb.path=data", "--storage.tsdb.retention.time=100y",
                               f"--web.listen-address={address}"], cwd=place, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(100):
        time.sleep(0.1)
        with socket.socket() as tried:
            if tried.connect_ex(("127.0.0.1", int(address.split(":")[1]))) == 0:
                break
    time.sleep(2)
    return server, f"http://{address}"


def scenarios_named(bench):
    there = bench.inputs
    backfill = ["backfill", "--ledger", "ledger", "--zone", "DE"]
    jobs = ["--jobs", there / "jobs.txt"]
    whole = [*backfill, "--snapshot", there / "all", *jobs]
    two = [*backfill, "--snapshot", there / "two", *jobs]
    report = ["report", "--ledger", "ledger", "--out", "report"]
    export = lambda form: ["export", "--ledger", "ledger", "--to", form, "--out", "out"]
    day = ["--from", "2024-06-03", "--until", "2024-06-04"]
    mark = ["--file", "marks.csv"]
    store = lambda *names: ["intensity", "import", *(there / f"{name}.csv" for name in names), "--store", "store"]
    found = [
        Scenario("backfill-new", "ledger", two),
        Scenario("backfill-add", "ledger", [*backfill, "--snapshot", there / "third"], [two]),
        Scenario("backfill-restate", "ledger", [*backfill, "--jobs", there / "late.txt"],
                 [[*backfill, "--snapshot", there / "all", "--jobs", there / "early.txt"]]),
        Scenario("reprice", "ledger", ["reprice", "--ledger", "ledger", "--zone", "DE", "--intensity", there / "de.csv"], [whole]),
        Scenario("report", "report", report, [whole, [*report, "--from", "2024-06-03", "--to", "2024-06-04"]]),
        Scenario("report-samples", "report", ["report", "--snapshot", there / "all", *jobs, "--zone", "DE", "--out", "report",
                                              "--entries", "--split-by", "account", "--no-charts"]),
        *(Scenario(f"export-{form}", "out", export(form), [whole, [*export(form), *day]])
          for form in ["csv", "parquet", "openmetrics", "codecarbon"]),
        Scenario("export-tsdb", "out", export("tsdb"), [whole]),
        Scenario("import-new", "store", store("de", "fr")),
        Scenario("import-add", "store", store("de2", "fr"), [store("de")]),
        Scenario("convert", "blocks", ["convert", there / "samples.csv", "--out", "blocks"]),
        Scenario("mark-start", "marks.csv", ["mark", "start", "one", "--node", "n1", "--user", "me", *mark], marks=True),
        Scenario("mark-stop", "marks.csv", ["mark", "stop", "one", *mark],
                 [["mark", "start", "one", "--node", "n1", "--user", "me", *mark]], marks=True),
        Scenario("simulate", "sim", ["simulate", "--nodes", "1", "--gpus", "1", "--cpus", "2", "--days", "1.5", "--runs", "4",
                                     "--scrape-interval", "300", "--out", "sim"]),
        Scenario("calibrate", "curves.csv", ["calibrate", "--snapshot", there / "all", "--out", "curves.csv"]),
    ]
    if bench.server:
        found.append(Scenario("fetch", "blocks", fetch_from(bench)))
    return {scenario.name: scenario for scenario in found}


def fetch_from(bench):
    return ["fetch", "--prometheus", bench.server, "--from", "2024-06-03", "--to", "2024-06-06", "--connections", "1", "--out", "blocks"]


def pairs_of(bench, named):
    there = bench.inputs
    backfill = ["backfill", "--ledger", "ledger", "--zone", "DE"]
    jobs = ["--jobs", there / "jobs.txt"]
    report = ["report", "--ledger", "ledger", "--out", "report"]
    add, new, restate, reprice = (named[name] for name in ("backfill-add", "backfill-new", "backfill-restate", "reprice"))
    empty = named["import-new"]
    shard = lambda part: [*backfill, "--snapshot", there / "all", *jobs, "--shard", part]
    mark = lambda name: ["mark", "start", name, "--node", "n1", "--user", "me", "--file", "marks.csv"]
    imports = lambda *names: ["intensity", "import", *(there / f"{name}.csv" for name in names), "--store", "store"]
    convert = lambda name: ["convert", there / f"{name}.csv", "--out", "blocks"]
    simulate = named["simulate"].command
    fetch = [Pair("fetch + fetch, the same", named["fetch"], fetch_from(bench), fetch_from(bench)),
             Pair("fetch + fetch, two spans", named["fetch"], fetch_from(bench), 
                  [word if word != "2024-06-06" else "2024-06-05" for word in fetch_from(bench)])] if bench.server else []
    return fetch + [
        Pair("backfill + backfill, new ledger", new, new.command, [*backfill, "--snapshot", there / "third", *jobs]),
        Pair("backfill + backfill, two logs", restate, restate.command, [*backfill, *jobs]),
        Pair("backfill + reprice", add, add.command, [*reprice.command]),
        Pair("backfill + report", add, add.command, report, reads=True),
        Pair("restating + report", restate, restate.command, report, reads=True),
        Pair("backfill + verify", restate, restate.command, ["verify", "--ledger", "ledger"], reads=True),
        Pair("new backfill + verify", add, add.command, ["verify", "--ledger", "ledger"], reads=True),
        Pair("two shards", new, shard("1/2"), shard("2/2"), then=[*backfill, "--snapshot", there / "all", *jobs]),
        Pair("report + report, two periods", named["reprice"], [*report, "--from", "2024-06-03", "--to", "2024-06-04"], report),
        Pair("import + import, new store", empty, imports("de"), imports("fr")),
        Pair("import + import, one zone and year", named["import-add"], imports("de2"), imports("de3")),
        Pair("convert + convert", named["convert"], convert("samples"), convert("more")),
        Pair("convert + convert, the same", named["convert"], convert("samples"), convert("samples")),
        Pair("mark + mark, new file", named["mark-start"], mark("one"), mark("two")),
        Pair("mark + mark, one name", named["mark-start"], mark("one"), mark("one")),
        Pair("simulate + simulate", named["simulate"], simulate, simulate),
        Pair("export + export", named["export-csv"], named["export-csv"].command,
             [*named["export-csv"].command, "--from", "2024-06-04", "--until", "2024-06-05"]),
    ]


def printed(bench):
    columns = ["injected", "failed", "unharmed", "killed", "missed", "mixed"]
    names = ["injected", "failed cleanly", "unharmed", "kills", "not reached", "two times mixed"]
    print(f"\n{'what':<36}{'on':<36}" + "".join(f"{name:>16}" for name in names))
    total = collections.Counter()
    for (what, on), counts in bench.table.items():
        total.update(counts)
        print(f"{what:<36}{on:<36}" + "".join(f"{counts[column] or '.':>16}" for column in columns))
    print(f"{'all':<72}" + "".join(f"{total[column]:>16}" for column in columns))
    if bench.observed:
        print("\nobserved, no violation:")
        for what, count in sorted(bench.observed.items()):
            print(f"  {count:>4} × {what}")
    for number, ((name, _), (count, what, wrong, repeat)) in enumerate(bench.violations.items(), 1):
        print(f"\nviolation {number}, {count} times: {name}, {what}\n  {wrong}")
        print("  " + repeat.replace("\n", "\n  "))
    print(f"\n{len(bench.violations)} violations ({sum(entry[0] for entry in bench.violations.values())} times)")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wattledger", default=os.environ.get("WATTLEDGER", "target/release/wattledger"), metavar="FILE")
    parser.add_argument("--quick", action="store_true", help="a sample of each")
    parser.add_argument("--parts", default="ABCDE", help="which, as in AC")
    parser.add_argument("--scenario", action="append", metavar="NAME", help="only these commands, in A to D")
    parser.add_argument("--kills", type=int, metavar="N", help="kills of part B; 1000, or 100 with --quick")
    parser.add_argument("--pair", action="append", metavar="NAME", help="only pairs whose names have this in them, in E")
    parser.add_argument("--rounds", type=int, metavar="N", help="of each pair of part E; 30, or 4 with --quick")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--work", metavar="DIR", help="where inputs and states are kept; default: a temporary directory that is removed")
    options = parser.parse_args()
    if not shutil.which("strace"):
        sys.exit("strace is not there")
    began = time.monotonic()
    # A shell that runs this in the background has it ignored, and so would the program.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # What is mounted or serves is taken down then as well.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    bench = Bench(options)
    server = None
    try:
        make_inputs(bench)
        server, bench.server = serving(bench)
        named = scenarios_named(bench)
        wanted = [named[name] for name in options.scenario] if options.scenario else list(named.values())
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            if "A" in options.parts:
                part_a(bench, wanted, pool)
            if "B" in options.parts:
                part_b(bench, wanted, pool, options.kills or (100 if options.quick else 1000))
            if "C" in options.parts:
                part_c(bench, wanted, pool)
            if "D" in options.parts:
                part_d(bench, wanted)
            if "E" in options.parts:
                part_e(bench, [pair for pair in pairs_of(bench, named) if any(part in pair.name for part in options.pair or [""])],
                        options.rounds or (4 if options.quick else 30), pool)
        printed(bench)
        print(f"{time.monotonic() - began:.0f} s")
    finally:
        if server:
            server.terminate()
            server.wait()
        if not options.work:
            shutil.rmtree(bench.work, ignore_errors=True)
    sys.exit(1 if bench.violations else 0)


if __name__ == "__main__":
    main()
