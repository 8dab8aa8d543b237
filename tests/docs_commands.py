#!/usr/bin/env python3
"""Runs what README.md and docs/*.md show in ```sh blocks, and the examples of every `--help`.

Needs bash, curl and Debian's prometheus, prometheus-node-exporter and victoria-metrics, and the ports 9090, 9100 and 8428 of
loopback, because the pages name them. WATTLEDGER names the program, else it is target/release/wattledger. With words as
arguments only pages whose names contain one of them. The exit status is 1 if a command fails, a page shows a kind of block
that is not known here, or a row of the tables below fits nothing any more.
"""

import datetime
import gzip
import http.server
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import textwrap
import threading

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent
WATTLEDGER = pathlib.Path(os.environ.get("WATTLEDGER", REPOSITORY / "target/release/wattledger")).resolve()

# Commands that are not run, without the comment behind them.
NOT_RUN = {
    "cargo run --release -- demo": "step `demo` of .ci/run",
    "cargo test": "step `tests` of .ci/run",
    "cargo run --release --example damage -- tests/fixtures/prometheus_3/01M84DFD0PFBVDQ5T86TNZNBVC tests/fixtures/shared_nodes/snapshot/01M8DF7BZJ6XY4X2WAW76AM9A5 tests/fixtures/slurm_prometheus/snapshot/01M85AQ2ST22878VYXT338BRC3": "a dense sample of it is a test (tests/corruption.rs)",
    "SECONDS_EACH=60 fuzz/run.sh": "needs a nightly compiler and twenty minutes; the same readers are called in `cargo test`",
    "python3 -B tests/faults/inject.py --wattledger target/release/wattledger": "step `faults` of .ci/run",
    "python3 tests/reference/compare.py --seeds 60": "step `the second implementation` of .ci/run",
    "python3 tests/reference/promql.py --seeds 12": "step `the second implementation` of .ci/run",
    "python3 tests/reference/formats.py": "step `the second implementation` of .ci/run",
    "cargo build --release --bins --examples && benches/load.sh": "needs 3 GB and minutes: what is far beyond a cluster is measured by hand",
    "benches/intensity_tiers.sh all": "needs the hours of a year of 157 zones, which are not part of the project",
}
# Other exit statuses than 0. 1: no table knows the processor of this machine.
STATUSES = {"""wattledger hardware "$(sed -n 's/^model name.*: //p' /proc/cpuinfo | head -1)\"""": {0, 1}}
# Blocks that hold no commands, and those that tests/ledger_sql.py runs.
DATA = {"text", "csv", "toml", "yaml"}
TESTED = {("docs/ledger.md", "sql"), ("docs/ledger.md", "python")}
# What a page takes as given; elsewhere its own commands make it.
GIVEN = {"docs/jobs.md": "blocks", "intensity show --help": "intensity"}
GIVEN |= {f"{command} --help": "ledger" for command in ["report", "reprice", "verify", "export"]}
# All that is changed in a command: directories of the system, hosts on the network, a key that was left out.
REWRITES = {
    r"(?<![\w.~])/(?=srv/|data/|var/lib/|var/spool/|tmp/demo)": "{root}/",
    r"/usr/local/bin/wattledger": "wattledger",
    r"https://mimir\.example\.org/prometheus": "http://localhost:9090",
    r"(?<=wattledger intensity fetch )": "--server http://127.0.0.1:{provider} ",
    r"TOKEN=…": "TOKEN=key",
}
# What takes the place of a cluster's programs, beside curl's `gpu01` and a `man` that only passes on where there is none.
STAND_INS = {
    "sacct": 'cat "$PREPARED/sacct.txt"',
    "sbatch": """wrap=
        while [ $# -gt 0 ]; do
            case $1 in --array=1-*) last=${1#--array=1-} ;; --wrap) wrap=$2 ;; esac
            shift
        done
        [ -z "$wrap" ] || for task in $(seq "$last"); do SLURM_ARRAY_TASK_ID=$task sh -ec "$wrap"; done""",
}

HOUR, DAY = datetime.timedelta(hours=1), datetime.timedelta(days=1)
NOW = datetime.datetime.now(datetime.timezone.utc).replace(minute=0, second=0, microsecond=0)
# From when on six hours are simulated: days that the pages name, and two that follow the clock.
DAYS = ["2025-03-01", "2026-09-15", "2026-10-05", "2026-11-16"]
STARTS = {day: datetime.datetime.fromisoformat(f"{day}T00:00:00+00:00") for day in DAYS}
STARTS |= {"last month": (NOW.replace(day=1) - DAY).replace(day=20, hour=0), "yesterday": NOW - DAY}
SNAPSHOT = "snapshots/20261123T135522Z-3c5e611d6275204e"


def iso(at):
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


def shell_commands(text):
    """A script whole; else lines, joined where they end in a backslash."""
    if text.startswith("#!"):
        return [("script", text)]
    lines = [line.replace("\0", "\\\n").strip() for line in text.replace("\\\n", "\0").splitlines()]
    return [("sh", line) for line in lines if line and not line.startswith("#")]


def page_commands(name, text):
    """Kind and text of each command of a page, and what is wrong with its blocks."""
    _, *parts = re.split(r"^ *(?:```|~~~)(.*)\n", text, flags=re.M)
    if len(parts) % 4 or any(parts[2::4]):
        return [], [f"{name}: fences do not pair"]
    commands, wrong = [], []
    for language, body in zip(parts[0::4], map(textwrap.dedent, parts[1::4])):
        if (name, language) in TESTED or language in DATA:
            continue
        if language == "sh":
            commands += shell_commands(body)
        elif language == "ini":
            commands += [("ini", command) for command in re.findall(r"^Exec\w+=(.*)", body, flags=re.M)]
        elif language == "python":
            commands.append((language, body))
        else:
            wrong.append(f"{name}: what is a block of kind `{language}`?")
    return commands, wrong


def help_commands(words):
    """Name and commands of a `--help` and of those below it."""
    # As wide as its lines are: they are broken where the terminal ends.
    wide = {"COLUMNS": "1000"}
    text = subprocess.run([WATTLEDGER, *words, "--help"], check=True, capture_output=True, text=True, env=wide).stdout
    examples = re.findall(r"^Examples?:\n((?:  .*\n|\n|From Python:\n)*)", text + "\n", flags=re.M)
    shell, _, python = "".join(examples).partition("From Python:\n")
    commands = shell_commands(re.sub(r"^  \S.*:$", "", shell, flags=re.M))
    if python:
        commands.append(("python", textwrap.dedent(python)))
    yield " ".join([*words, "--help"]), commands
    listed = re.findall(r"^Commands:\n((?:  .*\n)*)", text, flags=re.M)
    for word in re.findall(r"^  (\w+)", "".join(listed), flags=re.M):
        if word != "help":
            yield from help_commands([*words, word])


def electricity_maps(zone):
    """Hours of both scopes around everything that is simulated, as Electricity Maps' download has them."""
    names = "Carbon intensity gCO₂eq/kWh (direct),Carbon intensity gCO₂eq/kWh (Life cycle),Data estimated"
    times = sorted({start.replace(hour=0) + n * HOUR for start in STARTS.values() for n in range(72)})
    rows = (f"{at:%F %T},,,{zone},{at.hour + 40 * len(zone)},{at.hour + 50 * len(zone)},false\n" for at in times)
    return f"Datetime (UTC),Country,Zone name,Zone id,{names}\n" + "".join(rows)


class Provider(http.server.BaseHTTPRequestHandler):
    """Answers as the Carbon Intensity API, Electricity Maps and Energy-Charts do."""

    def do_GET(self):
        times, october = [NOW - n * HOUR for n in range(144, 0, -1)], STARTS["2026-10-05"]
        step = {"from": iso(october), "to": iso(october + HOUR), "intensity": {"forecast": 211, "actual": 206}}
        rows = [{"zone": "JP-TK", "carbonIntensity": 500, "datetime": iso(at)} for at in times]
        answers = {
            "/intensity/": {"data": [step]},
            "zone=JP-TK": {"zone": "JP-TK", "data": rows},
            "/co2eq": {"unix_seconds": [int(at.timestamp()) for at in times], "co2eq": [300] * len(times)},
        }
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(next(answers[part] for part in answers if part in self.path)).encode())

    def log_message(self, *_):
        pass


def call(*words, **options):
    done = subprocess.run(words, capture_output=True, stdin=subprocess.DEVNULL, check=False, **options)
    if done.returncode != 0:
        sys.exit(f"cannot prepare: {words}: exit status {done.returncode}\n{done.stderr.decode(errors='replace')}")
    return done.stdout


def prepare(scratch):
    """What all pages find in their directory, in `pages`; what some do, in `given`; `root` stands for the system's."""
    pages, given, simulated = scratch / "pages", scratch / "given", {}
    for seed, (name, start) in enumerate(STARTS.items()):
        simulated[name] = scratch / "simulated" / name
        flags = ["--nodes=2", "--gpus=1", "--cpus=2", "--days=0.25", "--scrape-interval=60", f"--seed={seed}"]
        call(WATTLEDGER, "simulate", *flags, "--start", iso(start), "--out", simulated[name])

    def write(name, text):
        path = pages / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())

    yesterday, metrics2 = "yesterday", "root/var/lib/prometheus/metrics2"
    for start, names in {
        "2025-03-01": ["snapshots/20250302T000000Z-1b", "2025", "root/srv/2025"],
        "2026-09-15": ["snapshots/20261006T000000Z-1b"],
        "2026-10-05": ["snapshots/20261006T000000Z-1b", "snapshots/20261007T000000Z-1b", "../prometheus"],
        "2026-11-16": [SNAPSHOT, f"root/data/{SNAPSHOT}", "../prometheus"],
        "last month": ["snapshots/20261007T000000Z-1b", "root/srv/prometheus"],
        yesterday: ["SNAPSHOT", "NAME", "data", "root/srv/snapshots/latest", "root/srv/prometheus", metrics2,
                    "../prometheus", "../given/blocks"],
    }.items():
        for name in names:
            shutil.copytree(simulated[start] / "snapshot", pages / name, dirs_exist_ok=True)
    for name in ["data", metrics2]:
        (pages / name / "wal").mkdir()  # promtool asks for it

    logs = [(source / "sacct.txt").read_text().splitlines(keepends=True) for source in simulated.values()]
    settings = (simulated[yesterday] / "wattledger.toml").read_text().split("[[hardware]]")[0]
    settings = re.sub(r"^jobs_.*\n", "", settings, flags=re.M).replace("[site]", '[site]\nzone = "DE"')
    for folder in ["", "root/srv/wattledger/"]:
        write(folder + "wattledger.toml", settings)
    for name in ["sacct.txt", "root/srv/sacct/last-3-days.txt", "root/srv/sacct/latest.txt"]:
        write(name, logs[0][0] + "".join(line for log in logs for line in log[1:] if "|Unknown|" not in line))
    run = dict(zip(logs[-1][0].strip().split("|"), logs[-1][1].split("|")))
    write("scontrol_job.txt", (
        f"JobId={run['JobIDRaw']} JobName={run['JobName']}\n   UserId={run['User']}(1001)\n   JobState=COMPLETED\n"
        f"   StartTime={run['Start']} EndTime={run['End']}\n   NodeList={run['NodeList']}\n   TRES=cpu=2,node=1,gres/gpu=1\n"
        f"     Nodes={run['NodeList']} CPU_IDs=0-1 Mem=1024 GRES=gpu:1(IDX:0)\n\n"))
    shutil.copy(REPOSITORY / "tests/fixtures/shared_nodes/scontrol_nodes.txt", pages / "scontrol_node.txt")
    write("lines.txt", "|".join([
        run["JobID"], "fit", "ann", "physics", run["Start"], run["End"], run["Elapsed"], "60", "gpu", "1", "2",
        run["NodeList"], "", "", "COMPLETED\n"]))
    write("mine.csv", "Job,Begin,Finish,Host\n1,2026-11-16T08:00:00Z,2026-11-16T09:30:00Z,gpu001\n")
    write("runs.csv", "run_id,start,end,nodes\n1,2026-11-16T08:10:00Z,2026-11-16T08:40:00Z,jetson1\n")
    write("root/var/spool/pbs/server_priv/accounting/20240501", (
        "05/01/2024 12:30:00;E;1.pbs;user=ann group=users queue=all ctime=1714559000 qtime=1714559000 etime=1714559000 "
        "start=1714559400 exec_host=n1/0*2 Resource_List.ncpus=2 end=1714563000 Exit_status=0\n"))
    write("train.py", "")

    write("dump.txt.gz", gzip.compress(call("promtool", "tsdb", "dump", pages / "data"), 1))
    samples = [{"metric": {"__name__": "up", "instance": "gpu001:9100", "job": "node"}, "values": [[1794830400, "1"]]}]
    answer = json.dumps({"status": "success", "data": {"resultType": "matrix", "result": samples}}).encode()
    write("answers/one.json", answer)
    write("answers/two.json.gz", gzip.compress(answer.replace(b"gpu001", b"gpu002")))
    minutes = (f"2026-11-16 09:{minute:02}:00,{minute},50,0.5\n" for minute in range(60))
    write("jtop_usage.csv", "time,CPU_usage,GPU_usage,RAM_usage\n" + "".join(minutes))
    # A table is told by its content, never by its name; tests/fixtures/parquet has the other kind.
    write("power.parquet", "when,watts,host,row\n2026-11-16T12:00:00Z,412,gpu01,1\n2026-11-16T12:00:15Z,418,gpu01,2\n")
    minutes = (f"{iso(STARTS[yesterday] + n * HOUR / 60)},ceems_emissions_gCo2_kWh,400,emaps,DE\n" for n in range(180))
    write("ceems.csv", "timestamp,metric,value,provider,country_code\n" + "".join(minutes))
    call(WATTLEDGER, "convert", pages / "ceems.csv", "--label=instance=ceems", "--out", pages / "SNAPSHOT")

    for name in ["DE_2024_hourly.csv", "DE_2025_hourly.csv", "DE_2026_hourly.csv", "downloads/DE.csv", "hours/DE.csv"]:
        write(name, electricity_maps("DE"))
    for zone in ["FR", "SE", "US-CAL-CISO"]:
        write(f"hours/{zone}.csv", electricity_maps(zone))
    write("plant.csv", "timestamp,value\n2026-11-16 00:15,0.4\n2026-11-16 00:30,0.5\n")
    write("neso_2026.csv", "from,to,forecast,actual,index\n2026-10-05T00:00Z,2026-10-05T00:30Z,211,206,high\n")
    write("contracts.csv", re.search(r"```csv\n(.*?)```", (REPOSITORY / "docs/statement.md").read_text(), flags=re.S)[1])
    write("token", "secret\n")
    for store in [given / "intensity", pages / "intensity-store"]:
        call(WATTLEDGER, "intensity", "import", pages / "DE_2026_hourly.csv", "--store", store)
    flags = ["--jobs", pages / "sacct.txt", "--zone", "DE", "--snapshot", *(pages / "snapshots").glob("2026*")]
    call(WATTLEDGER, "backfill", "--ledger", given / "ledger", *flags, cwd=pages)

    for folder in [".local/share/bash-completion/completions", ".zfunc", ".config/fish/completions"]:
        (pages / "home" / folder).mkdir(parents=True)
    write("home/.curlrc", "resolve = gpu01:9100:127.0.0.1\n")
    programs = scratch / "bin"
    programs.mkdir()
    for name, text in STAND_INS.items():
        (programs / name).write_text(f"#!/bin/sh\nPREPARED='{pages}'\n{text}\n")
        (programs / name).chmod(0o755)
    (programs / "wattledger").symlink_to(WATTLEDGER)
    (programs / "python").symlink_to(sys.executable)
    if not shutil.which("man"):
        (programs / "man").symlink_to(shutil.which("cat"))


def serve(scratch, started):
    """The servers that the pages name, with samples in them."""
    (scratch / "prometheus.yml").write_text("scrape_configs: []\n")
    words = {
        9090: "prometheus --config.file=prometheus.yml --storage.tsdb.path=prometheus --storage.tsdb.retention.time=50y"
        " --web.enable-admin-api --web.listen-address=127.0.0.1:9090",
        8428: "victoria-metrics -storageDataPath=victoria -httpListenAddr=127.0.0.1:8428",
        9100: "prometheus-node-exporter --web.listen-address=127.0.0.1:9100",
    }
    for port, command in words.items():
        with socket.socket() as other:
            if other.connect_ex(("127.0.0.1", port)) == 0:
                sys.exit(f"port {port} is taken, and the pages name it")
        with open(scratch / f"{port}.log", "wb") as log:
            started.append(subprocess.Popen(command.split(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=scratch))
    ask = ["curl", "--silent", "--show-error", "--fail", "--output", "/dev/null", "--noproxy", "*"]
    for address in ["9090/-/ready", "8428/health", "9100/metrics"]:
        patience = ["--retry", "60", "--retry-delay", "1", "--retry-connrefused"]
        call(*ask, *patience, f"http://127.0.0.1:{address}")
    series = {"__name__": "node_rapl_package_joules_total", "instance": "gpu001:9100", "job": "node", "package": "0"}
    times = [int((NOW - HOUR).timestamp()) * 1000 + 15_000 * n for n in range(100)]
    lines = json.dumps({"metric": series, "values": list(range(100)), "timestamps": times})
    for address in ["api/v1/import", "internal/force_flush"]:
        call(*ask, "--data-binary", lines, f"http://127.0.0.1:8428/{address}")


def run(kind, text, place, environment, provider):
    """Status and output of a command in the directory `place`."""
    for pattern, instead in REWRITES.items():
        text = re.sub(pattern, instead.format(root=place / "root", provider=provider), text)
    words, folder = ["bash", "-eu", "-o", "pipefail", "-c", text], place
    if kind == "script":
        (place / "script").write_text(text)
        words = ["sh", "./script"]
    elif kind == "python":
        words = ["python", "-c", "train = print\n" + text]
    elif kind == "ini":
        words, folder = ["sh", "-c", text.replace("%%", "%")], place / "root/srv/wattledger"
    elif cron := re.match(r"([\d*/,-]+ ){5}", text):
        words = ["sh", "-c", text[cron.end():]]
    done = subprocess.run(["timeout", "300", *words], cwd=folder, env=dict(environment, HOME=str(place / "home")),
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    return done.returncode, done.stdout.decode(errors="replace")


def main():
    pages, failures, not_run, ran, used = [], [], [], 0, set()
    for path in [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]:
        name = str(path.relative_to(REPOSITORY))
        commands, wrong = page_commands(name, path.read_text())
        pages.append((name, commands))
        failures += wrong
    pages = [page for page in [*pages, *help_commands([])] if any(word in page[0] for word in sys.argv[1:] or [""])]

    def row(table, text):
        used.add(key := text.split(" #")[0].strip())
        return table.get(key)

    provider = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Provider)
    threading.Thread(target=provider.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as scratch:
        scratch, started = pathlib.Path(scratch), []
        environment = {"PATH": f"{scratch}/bin:{os.environ['PATH']}", "LANG": "C.UTF-8"}
        try:
            prepare(scratch)
            serve(scratch, started)
            for name, commands in pages:
                place = scratch / "page"
                shutil.copytree(scratch / "pages", place)
                if name in GIVEN:
                    used.add(name)
                    shutil.copytree(scratch / "given" / GIVEN[name], place / GIVEN[name])
                for kind, text in commands:
                    if reason := row(NOT_RUN, text):
                        not_run.append(f"not run: {name}: {text}: {reason}")
                        continue
                    status, output = run(kind, text, place, environment, provider.server_port)
                    ran += 1
                    if status not in (row(STATUSES, text) or {0}):
                        failures.append(f"{name}: {text}\nexit status {status}\n{output}")
                shutil.rmtree(place)
        finally:
            for server in started:
                server.terminate()
                server.wait()
    if not sys.argv[1:]:
        unused = {*NOT_RUN, *STATUSES, *GIVEN} - used
        failures += [f"a row of the tables fits nothing any more: `{start}`" for start in sorted(unused)]
    rewritten = [f"rewritten: {pattern} to {instead}" for pattern, instead in REWRITES.items()]
    print(*[f"FAILED {failure}\n" for failure in failures], *not_run, *rewritten, sep="\n")
    print(f"{ran} commands run, {len(not_run)} not run, {len(failures)} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
