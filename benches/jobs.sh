#!/bin/sh
# How fast job logs are read, and what joining many runs costs: a million lines of `sacct`, and a report of 300,000 runs of
# which one holds 64 nodes.
#
#   cargo build --release && benches/jobs.sh [DIRECTORY]
#
# Needs GNU time and awk, and 1 GB on the file system of DIRECTORY (default: a temporary one), which is left as it was.
# WATTLEDGER names another binary, LINES another number of lines.
set -eu

program=$(realpath "${WATTLEDGER:-$(dirname "$0")/../target/release/wattledger}")
lines=${LINES:-1000000}
for needed in "$program" /usr/bin/time awk; do
    command -v "$needed" >/dev/null || { echo "$0: $needed is missing" >&2; exit 1; }
done
work=$(mktemp -d "${1:-${TMPDIR:-/tmp}}/wattledger-jobs.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

timed() {
    name=$1
    shift
    if ! /usr/bin/time -f '%e %M' -o "$work/time" "$@" >"$work/printed" 2>"$work/err"; then
        cat "$work/err" >&2
        exit 1
    fi
    read -r seconds kib <"$work/time"
    printf '%-36s %6.2f s %6.0f MiB at most\n' "$name" "$seconds" $((kib / 1024))
}

# sacct FILE LINES: three rows for each job, as `sacct --duplicates` prints them; the first job holds 64 nodes.
sacct() {
    awk -v lines="$2" 'BEGIN {
        print "JobID|JobIDRaw|User|Account|Partition|State|Submit|Start|End|ElapsedRaw|NNodes|NodeList|AllocCPUS|AllocTRES|ReqMem|ConsumedEnergyRaw|Comment|JobName"
        for (job = 1; job * 3 <= lines; job++) {
            start = 1717372800 + job * 2 % 600000
            node = job == 1 ? "node[001-064]" : sprintf("node%03d", job % 64 + 1)
            count = job == 1 ? 64 : 1
            tail = sprintf("%d|%d|%d|3600|%d|%s|%d|billing=4,cpu=%d,mem=16G,node=%d|16G|0||fit-%d", \
                start - 60, start, start + 3600, count, node, 4 * count, 4 * count, count, job)
            printf "%d|%d|user%d|account%d|batch|COMPLETED|%s\n", job, job, job % 200, job % 20, tail
            printf "%d.batch|%d.batch||account%d||COMPLETED|%s\n", job, job, job % 20, tail
            printf "%d.extern|%d.extern||account%d||COMPLETED|%s\n", job, job, job % 20, tail
        }
    }' >"$1"
}

sacct "$work/sacct.txt" "$lines"
bytes=$(stat -c %s "$work/sacct.txt")
printf '%d lines, %d bytes\n' "$(wc -l <"$work/sacct.txt")" "$bytes"
timed "wattledger jobs" "$program" jobs "$work/sacct.txt"
awk -v lines="$lines" -v bytes="$bytes" -v seconds="$(cut -d' ' -f1 "$work/time")" \
    'BEGIN { printf "%36s %.2f M lines/s, %.0f MB/s\n", "", lines / seconds / 1e6, bytes / seconds / 1e6 }'

"$program" simulate --nodes 64 --gpus 0 --cpus 64 --days 7 --scrape-interval 300 --runs 1 --start 2024-06-03 --out "$work/sim" >/dev/null 2>&1
sacct "$work/many.txt" 900000
timed "report of 64 nodes, 1 run" "$program" report --no-charts --snapshot "$work/sim/snapshot" \
    --jobs "$work/sim/sacct.txt" --zone DE --out "$work/few"
timed "the same with 300,000 runs" "$program" report --no-charts --snapshot "$work/sim/snapshot" \
    --jobs "$work/many.txt" --zone DE --out "$work/many"
