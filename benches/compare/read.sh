#!/usr/bin/env bash
# Reading every sample of blocks, checksums and all: wattledger's reader, Prometheus' own library and promtool, as a
# table. Whole processes, the fastest of REPEATS, page cache warm.
#
#   cargo build --release --example read_all
#   benches/compare/go_reader/build.sh /tmp/go_reader
#   GO_READER=/tmp/go_reader benches/compare/read.sh >TABLE.md
#
# Needs Debian's prometheus (for promtool) and GNU time. WATTLEDGER and READ_ALL: other binaries; NODES, GPUS, DAYS:
# another cluster; THREADS for all blocks; REPEATS; DIRECTORY: where the temporary one is made.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
wattledger=$(realpath "${WATTLEDGER:-$here/../../target/release/wattledger}")
read_all=$(realpath "${READ_ALL:-$here/../../target/release/examples/read_all}")
go_reader=${GO_READER:+$(realpath "$GO_READER")}
nodes=${NODES:-8} gpus=${GPUS:-4} days=${DAYS:-2} threads=${THREADS:-$(nproc)} repeats=${REPEATS:-3}
for needed in "$wattledger" "$read_all" ${go_reader:+"$go_reader"} /usr/bin/time promtool; do
    command -v "$needed" >/dev/null || { echo "$0: $needed is missing" >&2; exit 1; }
done
[[ -n $go_reader ]] || echo "$0: GO_READER is not set: without Prometheus' library" >&2
work=$(mktemp -d "${DIRECTORY:-${TMPDIR:-/tmp}}/wattledger-read.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
cd "$work"
export LC_ALL=C
TIMEFORMAT='%3R %3U %3S'

# timed COMMAND...: seconds, processor seconds and KiB of the fastest of some runs; `printed` has what the last printed.
timed() {
    local nth
    for ((nth = 0; nth < repeats; nth++)); do
        # The shell's clock, for that of GNU time has hundredths only.
        { time /usr/bin/time --quiet --format=%M --output=kib "$@" >printed 2>said; } 2>clock ||
            { cat said >&2; exit 1; }
        awk '{ print $1, $2 + $3, $4 }' <(paste -d' ' clock kib)
    done | sort -n | head -n 1
}

# row NAME THREADS SAMPLES CHECKSUM WALL CPU KIB: a line of the table. The first of a group is what others are set against.
row() {
    [[ -n $base ]] || base=$5
    printf '| %s | %s | %s | %s |' "$1" "$2" "$3" "$4"
    awk -v samples="$3" -v wall="$5" -v cpu="$6" -v kib="$7" -v base="$base" 'BEGIN {
        printf " %.3f | %.3f | %.0f | %.1f | %.1f | %.1f |\n",
            wall, cpu, kib / 1024, wall * 1e9 / samples, cpu * 1e9 / samples, wall / base
    }'
}

# said WORD: the figure that a reader printed for it.
said() { sed -n "s/.*$1=\([0-9]*\).*/\1/p" printed; }

# readers BLOCKS THREADS: rows of those that say how much they have read.
readers() {
    local wall cpu kib
    base=
    read -r wall cpu kib < <(timed "$read_all" "$1" "$2")
    row "wattledger, \`read_all\`" "$2" "$(said samples)" "$(said checksum)" "$wall" "$cpu" "$kib"
    if [[ -n $go_reader ]]; then
        read -r wall cpu kib < <(timed "$go_reader" -threads "$2" "$1")
        row "Prometheus' library, \`go_reader\`" "$2" "$(said samples)" "$(said checksum)" "$wall" "$cpu" "$kib"
    fi
}

"$wattledger" simulate --nodes "$nodes" --gpus "$gpus" --days "$days" --start 2024-06-03 --out cluster >printed 2>&1
first=$(find cluster/snapshot -mindepth 1 -maxdepth 1 -type d | sort | head -n 1)
# promtool wants a write-ahead log beside the blocks, if only an empty one.
mkdir -p day/wal
cp -rl "$first" day/
cat cluster/snapshot/*/index cluster/snapshot/*/chunks/* >/dev/null

cat <<END
Every sample of the blocks of $nodes nodes with $gpus GPUs, $days days, scraped every 15 s:
$(du -sm cluster/snapshot | cut -f1) MiB.
$(nproc) processors, load $(cut -d' ' -f1-3 /proc/loadavg); fastest of $repeats; $("$wattledger" --version),
$(promtool --version 2>&1 | sed -n '1s/promtool, version \([^ ]*\).*/promtool \1/p').

| one block, a day | threads | samples | checksum | wall s | CPU s | MiB | wall ns/sample | CPU ns/sample | × |
| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
END
readers day 1
read -r wall cpu kib < <(timed sh -c 'promtool tsdb dump day >/dev/null')
printed_lines=$(promtool tsdb dump day | wc -l)
row "\`promtool tsdb dump >/dev/null\`" "as it likes" "$printed_lines" "as text" "$wall" "$cpu" "$kib"
echo "| **all blocks** | | | | | | | | | |"
readers cluster/snapshot 1
readers cluster/snapshot "$threads"
cat <<END

Whole processes. The checksum is the wrapping sum of each value's bits xor its time: readers with the same one found the
same samples. "×" is wall time as a multiple of that of \`read_all\` on the same blocks and threads. \`read_all\`
shares series out among threads, \`go_reader\` blocks; promtool prints each sample as text.
END
