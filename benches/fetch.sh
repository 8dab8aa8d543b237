#!/bin/sh
# How fast `wattledger fetch` copies from real servers on loopback, by protocol, and how many bytes a sample takes on
# the wire; beside it, curl with the same request, which keeps nothing. A simulated cluster, served by Debian's
# Prometheus and VictoriaMetrics.
#
#   cargo build --release && benches/fetch.sh [DIRECTORY]
#
# Needs curl, python3 and Debian's prometheus and victoria-metrics, and 2 GB on the file system of DIRECTORY
# (default: a temporary one), which is left as it was. WATTLEDGER names another binary; NODES, GPUS and DAYS another cluster.
set -eu

program=$(realpath "${WATTLEDGER:-$(dirname "$0")/../target/release/wattledger}")
nodes=${NODES:-8} gpus=${GPUS:-4} days=${DAYS:-2}
for needed in "$program" prometheus promtool victoria-metrics curl python3; do
    command -v "$needed" >/dev/null || { echo "$0: $needed is missing" >&2; exit 1; }
done
work=$(mktemp -d "${1:-${TMPDIR:-/tmp}}/wattledger-fetch.XXXXXX")
servers=
finish() {
    for server in $servers; do kill "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true; done
    rm -rf "$work"
}
trap finish EXIT
trap 'exit 1' HUP INT TERM

free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

wait_for() {
    for _ in $(seq 300); do
        if curl -sf -o /dev/null "$1"; then return; fi
        sleep 0.1
    done
    echo "$0: nobody answers at $1" >&2
    exit 1
}

now() { date +%s.%N; }

"$program" simulate --nodes "$nodes" --gpus "$gpus" --days "$days" --start 2024-06-03 --out "$work/sim" >/dev/null 2>&1
to=$(date -u -d "2024-06-03 + $days days" +%Y-%m-%dT00:00:00Z)
window="--from 2024-06-03 --to $to"

prometheus_port=$(free_port)
echo 'global: {}' >"$work/prometheus.yml"
prometheus --config.file="$work/prometheus.yml" --storage.tsdb.path="$work/sim/snapshot" \
    --storage.tsdb.retention.time=100y --web.listen-address="127.0.0.1:$prometheus_port" 2>"$work/prometheus.log" &
servers="$servers $!"
prometheus="http://127.0.0.1:$prometheus_port"
wait_for "$prometheus/-/ready"

# fetched NAME URL PROTOCOL: the best of three, each into an empty directory.
fetched() {
    best=
    for _ in 1 2 3; do
        rm -rf "$work/out"
        began=$(now)
        # shellcheck disable=SC2086 # the window is several words
        "$program" fetch --prometheus "$2" --protocol "$3" $window --out "$work/out" 2>"$work/said"
        took=$(python3 -c "print($(now) - $began)")
        if [ -z "$best" ] || python3 -c "raise SystemExit($took >= $best)"; then best=$took; fi
    done
    python3 - "$1" "$best" "$work/said" <<'EOF'
import re, sys
name, took, said = sys.argv[1], float(sys.argv[2]), open(sys.argv[3]).read()
samples, size, unit = re.search(r"fetched +([\d,]+) samples, ([\d.]+) (B|KiB|MiB|GiB) over", said).groups()
samples = int(samples.replace(",", ""))
size = float(size) * {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}[unit]
print(f"{name:<34} {took:6.2f} s {samples / took / 1e6:7.2f} M samples/s {size / samples:7.2f} bytes a sample, {samples / 1e6:.1f} M samples")
EOF
}

fetched "stream, Prometheus" "$prometheus" stream
fetched "samples, Prometheus" "$prometheus" samples
fetched "range, Prometheus" "$prometheus" range

# The same series by one streamed remote read, into nothing: what the server and the wire take.
python3 - "$work" "$to" <<'EOF'
import datetime, glob, json, os, subprocess, sys
work, to = sys.argv[1:]
out = os.path.join(work, "out")
meta = json.load(open(sorted(glob.glob(f"{out}/*/meta.json"))[0]))
metrics = meta["wattledger"]["fetch"]["metrics"]
ms = lambda text: int(datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() * 1000)
def varint(n):
    b = b""
    while n >= 0x80:
        b, n = b + bytes([n & 0x7F | 0x80]), n >> 7
    return b + bytes([n])
field = lambda number, body: varint(number << 3 | 2) + varint(len(body)) + body
number = lambda at, value: varint(at << 3) + varint(value)
matcher = number(1, 2) + field(2, b"__name__") + field(3, "|".join(metrics).encode())
query = number(1, ms("2024-06-03T00:00:00Z")) + number(2, ms(to) - 1) + field(3, matcher)
body = field(1, query) + field(2, bytes([1]))
# Snappy without compression: one literal with its length in two bytes.
packed = varint(len(body)) + bytes([61 << 2]) + (len(body) - 1).to_bytes(2, "little") + body
open(os.path.join(work, "request"), "wb").write(packed)
EOF
best=
for _ in 1 2 3; do
    began=$(now)
    curl -sf -o "$work/answer" -X POST "$prometheus/api/v1/read" --data-binary "@$work/request" \
        -H 'Content-Encoding: snappy' -H 'Content-Type: application/x-protobuf' -H 'X-Prometheus-Remote-Read-Version: 0.1.0'
    took=$(python3 -c "print($(now) - $began)")
    if [ -z "$best" ] || python3 -c "raise SystemExit($took >= $best)"; then best=$took; fi
done
printf '%-34s %6.2f s %s bytes\n' "curl, one streamed remote read" "$best" "$(stat -c %s "$work/answer")"

# VictoriaMetrics gets the same samples as lines of JSON.
victoria_port=$(free_port)
victoria-metrics -httpListenAddr="127.0.0.1:$victoria_port" -storageDataPath="$work/victoria" -retentionPeriod=100y \
    2>"$work/victoria.log" >/dev/null &
servers="$servers $!"
victoria="http://127.0.0.1:$victoria_port"
wait_for "$victoria/health"
rm -rf "$work/dumped"
cp -r "$work/out" "$work/dumped"
mkdir -p "$work/dumped/wal"
promtool tsdb dump "$work/dumped" | python3 -c '
import json, re, sys
pair = re.compile(r"(\w+)=(\"(?:[^\"\\]|\\.)*\")")
def write(series, times, values):
    metric = {name: json.loads(value) for name, value in pair.findall(series)}
    print(json.dumps({"metric": metric, "values": values, "timestamps": times}))
before, times, values = None, [], []
for line in sys.stdin:
    series, value, at = line.rstrip("\n").rsplit(" ", 2)
    if value == "NaN":
        continue
    if series != before or len(times) == 10000:
        if times:
            write(before, times, values)
        before, times, values = series, [], []
    times.append(int(at))
    values.append(float(value))
write(before, times, values)
' >"$work/lines"
curl -sf -X POST "$victoria/api/v1/import" -T "$work/lines"
curl -sf "$victoria/internal/force_flush"
fetched "export, VictoriaMetrics" "$victoria" export
fetched "range, VictoriaMetrics" "$victoria" range
