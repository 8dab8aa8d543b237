#!/usr/bin/env bash
# Fuzzes every reader, or those that are named, for SECONDS_EACH (default 60), beginning with the files of tests/fixtures; prints the
# executions of each and their sum. Stops at the first finding, which lies in fuzz/artifacts then.
# Usage: fuzz/run.sh [READER ...]     (names of TARGETS in src/fuzzing.rs)
# Needs a nightly compiler and cargo-fuzz (`cargo install --locked cargo-fuzz`). JOBS: how many at a time, default 1.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
seconds=${SECONDS_EACH:-60}
# Some readers work on files: in memory, where there is a place for that.
if [[ -d /dev/shm ]]; then export TMPDIR=/dev/shm; fi
readers=("$@")
if ((${#readers[@]} == 0)); then
    mapfile -t readers < <(sed -n 's/^    ("\([a-z_]*\)",.*/\1/p' ../src/fuzzing.rs)
fi
cargo +nightly fuzz build --sanitizer none reader
program=$(find target -path '*/release/reader' -type f | head -n 1)

# seed READER [HEAD]: puts files into its corpus, with bytes before them that the reader takes for its own.
seed() {
    local reader=$1 head=${2:-} nth=0 file
    mkdir -p "corpus/$reader"
    nth=$(find "corpus/$reader" -name 'seed-*' | wc -l)
    while read -r file; do
        # shellcheck disable=SC2059 # escapes
        { printf "$head"; cat "$file"; } >"corpus/$reader/seed-$((nth++))"
    done
}
fixtures=../tests/fixtures
mkdir -p corpus/pods
# A collection of real inputs beside the project, which not every checkout has.
real=../../shared/real
if [[ -d $real ]]; then
    find "$real/joblogs" "$real/slurm" -type f -size -64k | seed job_log '\377'
    find "$real/intensity" -type f -size -64k | seed intensity
    find "$real/exporters" "$real/prometheus_live" -type f -size -64k | seed dump '\377'
else
    echo "no $real: only the project's own fixtures are seeds" >&2
fi
find $fixtures -name index -size -64k | seed index
find $fixtures -name meta.json | seed meta
find $fixtures -name tombstones | seed tombstones
find $fixtures -path '*/chunks/*' -size -256k | seed segment '\0\010'
find $fixtures \( -path '*/wal/*' -o -path '*/wbl/*' \) -type f -size -256k | seed wal
find $fixtures -path '*/chunks_head/*' -size -256k | seed head_chunks
find $fixtures -name '*.parquet' -size -64k | seed dump '\010'
printf 'kube_pod_info\tnamespace=lab\tpod=a\tuid=1\tnode=n1\t1700000000000:1\nkube_pod_start_time\tnamespace=lab\tpod=a\t1700000000000:1699999990\n' >"corpus/pods/seed-0"
find $fixtures \( -name '*sacct*' -o -name runs.csv -o -name '*scontrol*' \) -type f -size -64k | seed job_log '\377'

fuzz() {
    local longest=0 # as the longest seed
    # The beginning of a text says as much as all of it, and costs less.
    case $1 in dump | intensity | job_log | config) longest=4096 ;; esac
    mkdir -p "corpus/$1" "artifacts/$1"
    WHAT=$1 "$program" "corpus/$1" -max_len="$longest" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 -artifact_prefix="artifacts/$1/" \
        -print_final_stats=1 >"artifacts/$1/log" 2>&1 || { tail -n 20 "artifacts/$1/log" >&2; return 1; }
    sed -n "s/^stat::number_of_executed_units: *\([0-9]*\)/$1 \1/p" "artifacts/$1/log"
}
export -f fuzz
export seconds program
printf '%s\n' "${readers[@]}" | xargs -P "${JOBS:-1}" -I '{}' bash -euo pipefail -c 'fuzz {}' |
    awk '{ print; sum += $2 } END { printf "%d executions\n", sum }'
