#!/usr/bin/env bash
# Inputs far beyond what a cluster has, each with time and memory: an index of 50 million chunks, a node with 10,000 devices, a label
# value of a megabyte, a million runs on one node, a run of ten years, a window of a millisecond, no runs, no nodes.
# Usage: benches/load.sh [CASE ...]    (index devices label runs decade instant none; default: all)
# Needs `cargo build --release --bins --examples` first, Python 3 and GNU time; `index` needs 3 GB. DIRECTORY: where to work; default: a
# temporary one that is removed. WATTLEDGER and MANY_CHUNKS name other programs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=benches/timed.sh
source benches/timed.sh
wattledger=$(realpath "${WATTLEDGER:-target/release/wattledger}")
many_chunks=${MANY_CHUNKS:-$PWD/target/release/examples/many_chunks}
if [[ -n ${DIRECTORY:-} ]]; then
    mkdir -p "$DIRECTORY"
    cd "$DIRECTORY"
else
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    cd "$scratch"
fi
report=("$wattledger" report --zone DE --no-charts --no-html)
energy() { sed -n 's/^  energy  */    energy /p; s/^  balance  */    balance /p' printed; }

index() {
    [[ -d chunks50m ]] || timed "write 50,000 series of 1,000 chunks" "$many_chunks" chunks50m 50000 1000
    timed "inspect an index of 50 M chunks ($(du -h chunks50m/*/index | cut -f1))" "$wattledger" inspect --snapshot chunks50m
    timed "report on it, 6,250 nodes of 8 GPUs for four hours" "${report[@]}" --snapshot chunks50m --out report
    energy
}

devices() {
    python3 -c '
for gpu in range(10000):
    for step in range(61):
        print(f"DCGM_FI_DEV_POWER_USAGE{{Hostname=\"big\",gpu=\"{gpu}\"}} {100 + gpu % 7} {1700000000 + 60 * step}")
print("# EOF")' >devices.om
    timed "convert 10,000 devices" "$wattledger" convert devices.om --out devices
    timed "report on a node with 10,000 GPUs" "${report[@]}" --snapshot devices --out report
    energy
    python3 -c 'print("    by hand:", sum(100 + gpu % 7 for gpu in range(10000)) * 3600 / 3.6e6, "kWh")'
}

label() {
    python3 -c '
for step in range(61):
    print("DCGM_FI_DEV_POWER_USAGE{Hostname=\"big\",gpu=\"0\",modelName=\"" + "x" * 1000000 + f"\"}} 100 {1700000000 + 60 * step}")
print("# EOF")' >label.om
    timed "convert a label value of 1 MB" "$wattledger" convert label.om --format openmetrics --out label
    timed "report on it" "$wattledger" report --zone DE --snapshot label --out report
    energy
}

one_node() {
    [[ -d one ]] || "$wattledger" simulate --out one --nodes 1 --gpus 4 --days 7 --runs 10 >printed 2>&1
}

runs() {
    one_node
    # A million runs one after the other and beside each other, of a few seconds each, on the node that has the GPUs.
    python3 - one/sacct.txt >many.txt <<'PYTHON'
import sys, datetime
head, *rows = open(sys.argv[1]).read().splitlines()
names = head.split("|")
row = dict(zip(names, next(row for row in rows if "COMPLETED" in row).split("|")))
start = datetime.datetime(2024, 6, 3)
print(head)
for number in range(1_000_000):
    begin = start + datetime.timedelta(seconds=number * 0.6)
    row.update(JobID=str(number + 1), JobIDRaw=str(number + 1), Submit=begin.strftime("%Y-%m-%dT%H:%M:%S"),
               Start=begin.strftime("%Y-%m-%dT%H:%M:%S"), End=(begin + datetime.timedelta(seconds=5)).strftime("%Y-%m-%dT%H:%M:%S"),
               ElapsedRaw="5", State="COMPLETED")
    print("|".join(row.get(name, "") for name in names))
PYTHON
    timed "a million runs on one node" "${report[@]}" --snapshot one/snapshot --jobs many.txt --config one/wattledger.toml --out report
    energy
}

decade() {
    one_node
    local node
    node=$(awk -F '|' 'NR == 1 { for (at = 1; at <= NF; at++) if ($at == "NodeList") column = at } NR == 2 { print $column }' one/sacct.txt)
    printf 'run_id,user,start,end,nodes\nlong,u,2016-01-01T00:00:00Z,2026-01-01T00:00:00Z,%s\n' "$node" >decade.csv
    timed "a run of ten years" "${report[@]}" --snapshot one/snapshot --jobs decade.csv --config one/wattledger.toml --out report
    energy
    timed "ten years from the job log alone" "${report[@]}" --jobs decade.csv --out report
    energy
}

instant() {
    one_node
    timed "a window of a millisecond" "${report[@]}" --snapshot one/snapshot --jobs one/sacct.txt --config one/wattledger.toml \
        --from 2024-06-04T10:00:00.000Z --to 2024-06-04T10:00:00.001Z --out report
    energy
}

none() {
    one_node
    head -n 1 one/sacct.txt >empty.txt
    "${report[@]}" --snapshot one/snapshot --jobs empty.txt --config one/wattledger.toml --out report >printed 2>&1 || true
    echo "a job log without runs:"
    cat printed
    timed "no job log" "${report[@]}" --snapshot one/snapshot --config one/wattledger.toml --out report
    energy
    printf 'something_else{a="b"} 1 1700000000\nsomething_else{a="b"} 2 1700000060\n# EOF\n' >nothing.om
    "$wattledger" convert nothing.om --out nothing >printed 2>&1
    echo "series of no node:"
    "${report[@]}" --snapshot nothing --out report >printed 2>&1 || true
    cat printed
}

cases=("$@")
if ((${#cases[@]} == 0)); then
    cases=(index devices label runs decade instant none)
fi
for case in "${cases[@]}"; do
    "$case"
done
