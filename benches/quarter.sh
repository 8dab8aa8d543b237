#!/usr/bin/env bash
# Backfills a simulated quarter, 90 days of 8 nodes, in one go and in pieces in random order with repeats, holds the bytes of
# both against each other, kills a third one at random moments, and times all of it and the quarter's report.
# Usage: benches/quarter.sh [DIRECTORY]   (about 4 GB; default: a temporary one that is removed)
# Needs `cargo build --release` first, or WATTLEDGER names another binary. KILLS=N: how often the third one is killed, default 20. NODES, DAYS, SCRAPE: another size.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=benches/timed.sh
source benches/timed.sh
wattledger=$(realpath "${WATTLEDGER:-target/release/wattledger}")
if (($# > 0)); then
    mkdir -p "$1"
    cd "$1"
else
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    cd "$scratch"
fi

if [[ ! -d cluster ]]; then
    timed "simulate" "$wattledger" simulate --out cluster --nodes "${NODES:-8}" --days "${DAYS:-90}" --scrape-interval "${SCRAPE:-60}"
fi
rm -rf pieces one many killed report
for block in cluster/snapshot/*/meta.json; do
    name=$(basename "$(dirname "$block")")
    mkdir -p "pieces/$name"
    cp --recursive --link "$(dirname "$block")" "pieces/$name/$name"
done
flags=(--config cluster/wattledger.toml --zone DE --quiet)
timed "backfill in one go" "$wattledger" backfill --ledger one --snapshot pieces/* --jobs cluster/sacct.txt "${flags[@]}"
timed "again, nothing to do" "$wattledger" backfill --ledger one --snapshot pieces/* --jobs cluster/sacct.txt "${flags[@]}"

# Every piece, and a third of them twice, a few at a time.
mapfile -t order < <({
    printf '%s\n' pieces/*
    printf '%s\n' pieces/* | awk 'NR % 3 == 0'
} | shuf --random-source=<(yes 1))
began=$SECONDS
for ((at = 0; at < ${#order[@]}; at += 7)); do
    "$wattledger" backfill --ledger many --snapshot "${order[@]:at:7}" --jobs cluster/sacct.txt "${flags[@]}" 2>>restated.txt
done
echo "in pieces, in random order, with repeats: $((SECONDS - began)) s"
diff --recursive one many && echo "the same bytes"

killed=0
# The shell says of each that it was killed.
exec 3>&2 2>/dev/null
while ! {
    timeout --signal=KILL "0.$((RANDOM % 900 + 100))" \
        "$wattledger" backfill --ledger killed --snapshot pieces/* --jobs cluster/sacct.txt "${flags[@]}" ||
        ((++killed >= ${KILLS:-20}))
}; do :; done
exec 2>&3
"$wattledger" backfill --ledger killed --snapshot pieces/* --jobs cluster/sacct.txt "${flags[@]}"
diff --recursive one killed && echo "killed $killed times: the same bytes"
timed "verify" "$wattledger" verify --ledger one >verified
cat verified
du --summarize --human-readable one
timed "report of all of it, tables" "$wattledger" report --ledger one --config cluster/wattledger.toml --no-charts --no-html --out report
timed "report of a month, with page and charts" "$wattledger" report --ledger one --config cluster/wattledger.toml --month 2024-07 --compare previous --out report
