#!/bin/sh
# How long a report of one week takes, as a whole process, and how much memory:
# 24 nodes with 8 GPUs each, scraped every 15 s, simulated. Beside it, Prometheus'
# own reader over one day of the same samples.
#
#   cargo build --release && benches/week.sh [DIRECTORY]
#
# Needs GNU time and promtool (Debian: `time`, `prometheus`) and 4 GB on the file
# system of DIRECTORY (default: a temporary one), which is left as it was.
# WATTLEDGER names another binary; NODES, GPUS and DAYS another cluster.
set -eu

program=${WATTLEDGER:-$(dirname "$0")/../target/release/wattledger}
nodes=${NODES:-24} gpus=${GPUS:-8} days=${DAYS:-7}
for needed in "$program" /usr/bin/time promtool; do
    command -v "$needed" >/dev/null || { echo "$0: $needed is missing" >&2; exit 1; }
done
work=$(mktemp -d "${1:-${TMPDIR:-/tmp}}/wattledger-week.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

# timed NAME COMMAND...: prints wall time, processor time and peak memory.
timed() {
    name=$1
    shift
    if ! /usr/bin/time -f '%e %U %S %M' -o "$work/time" "$@" >"$work/out" 2>"$work/err"; then
        cat "$work/err" >&2
        exit 1
    fi
    awk -v name="$name" '{
        printf "%-28s %8.2f s wall, %8.2f s user, %6.2f s system, %7.0f MiB at most\n", name, $1, $2, $3, $4 / 1024
    }' "$work/time"
}

# per_sample SAMPLES: what the last command took for each.
per_sample() {
    awk -v samples="$1" '{
        printf "%-28s %8.1f ns wall and %.1f ns processor for each of %.1f million samples\n",
            "", $1 * 1e9 / samples, ($2 + $3) * 1e9 / samples, samples / 1e6
    }' "$work/time"
}

# samples_of FILE...: numSamples of their blocks, added up.
samples_of() {
    sed -n 's/.*"numSamples": *\([0-9]*\).*/\1/p' "$@" | awk '{ sum += $1 } END { printf "%.0f\n", sum }'
}

echo "$(nproc) processors, load $(cut -d' ' -f1-3 /proc/loadavg), $("$program" --version)"
timed "simulate" "$program" simulate --nodes "$nodes" --gpus "$gpus" --days "$days" --extra-series \
    --out "$work/cluster"
sed -n 's/^SIMULATED/    simulated/p' "$work/err"
blocks="$work/cluster/snapshot"
all=$(samples_of "$blocks"/*/meta.json)
per_sample "$all"
echo "    $(du -sm "$blocks" | cut -f1) MiB in $(find "$blocks" -name meta.json | wc -l) blocks"

report() {
    name=$1
    shift
    timed "$name" "$program" report --snapshot "$blocks" --jobs "$work/cluster/sacct.txt" --zone DE \
        --config "$work/cluster/wattledger.toml" --out "$work/report" "$@"
    # Only series of meters and of the machines are read.
    per_sample "$(sed -n 's/^ *"read": *\([0-9]*\),*$/\1/p' "$work/report/summary.json")"
}
cat "$blocks"/*/index "$blocks"/*/chunks/* >/dev/null
report "report, tables only" --no-charts
report "report, tables and charts"
export RAYON_NUM_THREADS=1
report "report, one thread" --no-charts
unset RAYON_NUM_THREADS

first=$(find "$blocks" -mindepth 1 -maxdepth 1 -type d | sort | head -n 1)
# promtool wants a write-ahead log beside the blocks, if only an empty one.
mkdir -p "$work/day/wal"
mv "$first" "$work/day/"
day=$(samples_of "$work/day"/*/meta.json)
timed "promtool tsdb dump, one day" sh -c "promtool tsdb dump '$work/day' >/dev/null"
per_sample "$day"
