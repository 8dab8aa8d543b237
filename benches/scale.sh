#!/usr/bin/env bash
# How time and memory of a report grow: with days, with runs, with threads; and a month of a large cluster.
# Fits time = c × size^e by least squares on logarithms and prints e.
# Usage: benches/scale.sh [days|runs|month ...]   (default: days runs; month needs 30 GB on the file system of DIRECTORY)
# Needs `cargo build --release` first, or WATTLEDGER names another binary, and GNU time and awk. DIRECTORY: where to work; default: a
# temporary one that is removed. NODES, GPUS, DAYS, RUNS, REPEATS and MONTH_NODES: other sizes.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
wattledger=$(realpath "${WATTLEDGER:-target/release/wattledger}")
if [[ -n ${DIRECTORY:-} ]]; then
    mkdir -p "$DIRECTORY"
    cd "$DIRECTORY"
else
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    cd "$scratch"
fi

# fastest COMMAND...: seconds and KiB of the fastest of some runs; the first warms the page cache and does not count.
fastest() {
    local nth
    "$@" >printed 2>&1 || { cat printed >&2; return 1; }
    for ((nth = 0; nth < ${REPEATS:-3}; nth++)); do
        /usr/bin/time --format='%e %M' --output=time "$@" >printed 2>&1
        cat time
    done | sort -n | head -n 1
}

# exponent: of the lines `size seconds` that are read.
exponent() {
    awk '{ x = log($1); y = log($2); n++; sx += x; sy += y; sxx += x * x; sxy += x * y }
        END { printf "exponent %.2f\n", (n * sxy - sx * sy) / (n * sxx - sx * sx) }'
}

# report OF [JOBS]: the command for the cluster in a directory, in `command`.
report() {
    command=("$wattledger" report --no-charts --no-html --snapshot "$1/snapshot" --jobs "${2:-$1/sacct.txt}"
        --config "$1/wattledger.toml" --zone DE --out report)
}

simulated() {
    local out=$1
    shift
    [[ -d $out/snapshot ]] || "$wattledger" simulate --out "$out" "$@" >printed 2>&1 || { cat printed >&2; return 1; }
}

days() {
    local days fit=""
    echo "days of ${NODES:-16} nodes with ${GPUS:-4} GPUs, every 15 s"
    for days in ${DAYS:-1 7 28}; do
        simulated "days$days" --nodes "${NODES:-16}" --gpus "${GPUS:-4}" --days "$days" --no-gpu-jobs --runs $((days * 200))
        report "days$days"
        read -r seconds kib < <(fastest "${command[@]}")
        read -r samples < <(sed -n 's/^ *"read": *\([0-9]*\),*$/\1/p' report/summary.json)
        printf '%6d days %10d samples read %8.2f s %6d MiB\n' "$days" "$samples" "$seconds" $((kib / 1024))
        fit+="$samples $seconds"$'\n'
    done
    exponent <<<"${fit%$'\n'}"
    read -r seconds kib < <(fastest env RAYON_NUM_THREADS=1 POLARS_MAX_THREADS=1 "${command[@]}")
    printf '%6d days %32s %8.2f s %6d MiB on one thread\n' 28 "" "$seconds" $((kib / 1024))
}

# sacct FILE RUNS: jobs of an hour or so on 64 nodes over a week, 16 at most on a node at a time for up to a million of them.
sacct() {
    awk -v runs="$2" 'BEGIN {
        print "JobID|JobIDRaw|User|Account|Partition|State|Submit|Start|End|ElapsedRaw|NNodes|NodeList|AllocCPUS|AllocTRES|ReqMem|JobName"
        length_s = 64 * 16 * 600000 / runs
        if (length_s > 3600) length_s = 3600
        for (job = 1; job <= runs; job++) {
            start = 1717372800 + int(job * 600000 / runs)
            printf "%d|%d|user%d|account%d|batch|COMPLETED|%d|%d|%d|%d|1|gpu%03d|4|billing=4,cpu=4,mem=16G,node=1|16G|fit-%d\n", \
                job, job, job % 200, job % 20, start - 60, start, start + length_s, length_s, job % 64 + 1, job
        }
    }' >"$1"
}

runs() {
    local runs fit=""
    echo "runs on 64 nodes over a week, every 60 s"
    simulated nodes64 --nodes 64 --gpus 0 --cpus 64 --days 7 --scrape-interval 60 --runs 1 --start 2024-06-03
    for runs in ${RUNS:-1000 10000 100000 1000000}; do
        sacct sacct.txt "$runs"
        report nodes64 sacct.txt
        read -r seconds kib < <(fastest "${command[@]}")
        printf '%8d runs %8.2f s %6d MiB\n' "$runs" "$seconds" $((kib / 1024))
        fit+="$runs $seconds"$'\n'
    done
    exponent <<<"${fit%$'\n'}"
}

month() {
    local nodes=${MONTH_NODES:-1000}
    echo "a month of $nodes nodes with 4 GPUs, every 30 s"
    simulated month --nodes "$nodes" --gpus 4 --cpus 2 --days 30 --scrape-interval 30 --runs $((nodes * 240)) --no-gpu-jobs
    report month
    read -r seconds kib < <(fastest "${command[@]}")
    sed -n '1p' month/SIMULATED.txt
    printf '%d samples read, %d runs, %d rows in hourly.csv: %.2f s, %d MiB\n' \
        "$(sed -n 's/^ *"read": *\([0-9]*\),*$/\1/p' report/summary.json)" "$(wc -l <report/runs.csv)" "$(wc -l <report/hourly.csv)" \
        "$seconds" $((kib / 1024))
}

echo "$(nproc) processors, load $(cut -d' ' -f1-3 /proc/loadavg), $("$wattledger" --version)"
if (($# == 0)); then
    set -- days runs
fi
for what in "$@"; do
    "$what"
done
