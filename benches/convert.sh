#!/bin/sh
# How fast `wattledger convert` makes blocks of saved samples, by format, and how much memory it takes; beside it,
# promtool, which dumps them and makes blocks of OpenMetrics text.
#
#   cargo build --release && benches/convert.sh [DIRECTORY]
#
# Needs GNU time, python3 and Debian's prometheus, and 8 GB on the file system of DIRECTORY (default: a temporary
# one), which is left as it was. WATTLEDGER names another binary; NODES, GPUS and DAYS another cluster.
set -eu

program=$(realpath "${WATTLEDGER:-$(dirname "$0")/../target/release/wattledger}")
nodes=${NODES:-8} gpus=${GPUS:-4} days=${DAYS:-1}
for needed in "$program" /usr/bin/time promtool python3; do
    command -v "$needed" >/dev/null || { echo "$0: $needed is missing" >&2; exit 1; }
done
work=$(mktemp -d "${1:-${TMPDIR:-/tmp}}/wattledger-convert.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

# timed NAME COMMAND...: prints wall time, peak memory and samples in a second.
timed() {
    name=$1
    shift
    if ! /usr/bin/time -f '%e %M' -o "$work/time" "$@" >"$work/printed" 2>"$work/err"; then
        cat "$work/err" >&2
        exit 1
    fi
    awk -v name="$name" -v samples="$samples" '{
        printf "%-40s %7.2f s %6.2f M samples/s %6.0f MiB at most\n", name, $1, samples / $1 / 1e6, $2 / 1024
    }' "$work/time"
}

"$program" simulate --nodes "$nodes" --gpus "$gpus" --days "$days" --start 2024-06-03 --out "$work/sim" >/dev/null 2>&1
mkdir "$work/sim/snapshot/wal"
samples=0
timed "(not a figure)" promtool tsdb dump "$work/sim/snapshot" >/dev/null
mv "$work/printed" "$work/dump.txt"
samples=$(wc -l <"$work/dump.txt")
printf '%d samples, %d bytes of text\n' "$samples" "$(stat -c %s "$work/dump.txt")"
timed "promtool tsdb dump" promtool tsdb dump "$work/sim/snapshot"
timed "convert, its dump" "$program" convert "$work/dump.txt" --out "$work/blocks-1"
gzip -1 -k "$work/dump.txt"
timed "convert, its dump, gzip" "$program" convert "$work/dump.txt.gz" --out "$work/blocks-2"

python3 - "$work" <<'EOF'
import json, re, sys
work = sys.argv[1]
pair = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
metrics, table, answer = (open(f"{work}/dump.{ending}", "w", 1 << 20) for ending in ("om", "csv", "json"))
table.write("timestamp,metric,value,series\n")
answer.write('{"status":"success","data":{"resultType":"matrix","result":[')
before, between = None, ""
for line in open(f"{work}/dump.txt", buffering=1 << 20):
    series, value, at = line.rsplit(" ", 2)
    seconds = f"{at[:-4]}.{at[-4:-1]}"
    if series != before:
        labels = dict(pair.findall(series))
        text = labels["__name__"] + "{" + ",".join(f'{k}="{v}"' for k, v in labels.items() if k != "__name__") + "}"
        quoted = '"' + text.replace('"', '""') + '"'
        answer.write('%s{"metric":%s,"values":[' % ("" if before is None else "]},", json.dumps(labels)))
        before, between = series, ""
    metrics.write(f"{text} {value} {seconds}\n")
    if value != "NaN":
        table.write(f"{at[:-1]},{quoted},{value},\n")
        answer.write(f'{between}[{seconds},"{value}"]')
        between = ","
metrics.write("# EOF\n")
answer.write("]}]}}\n")
EOF
timed "convert, OpenMetrics" "$program" convert "$work/dump.om" --out "$work/blocks-3"
timed "convert, an answer of the API" "$program" convert "$work/dump.json" --out "$work/blocks-4"
timed "convert, CSV" "$program" convert "$work/dump.csv" --columns ignore=series --out "$work/blocks-5"
# A NaN is no value to it, and a stale marker is one here.
grep -v ' NaN ' "$work/dump.om" >"$work/numbers.om"
timed "promtool tsdb create-blocks-from" promtool tsdb create-blocks-from openmetrics "$work/numbers.om" "$work/blocks-6"
