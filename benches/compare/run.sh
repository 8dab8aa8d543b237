#!/usr/bin/env bash
# Energy of each run and hour, by wattledger and by what people use now, on the same samples: a table of times and
# answers. Each is timed as a whole process, the fastest of REPEATS; servers are timed besides.
#
#   cargo build --release && PYTHON=VENV/bin/python benches/compare/run.sh >TABLE.md
#
# Needs Python with duckdb, polars, pandas and pyarrow, Debian's prometheus and victoria-metrics, GNU time, curl.
# WATTLEDGER: another binary; NODES, GPUS, DAYS: another cluster; REPEATS; DIRECTORY: where the temporary one is made.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
wattledger=$(realpath "${WATTLEDGER:-$here/../../target/release/wattledger}")
python=${PYTHON:-python3}
nodes=${NODES:-8} gpus=${GPUS:-4} days=${DAYS:-2} repeats=${REPEATS:-3}
for needed in "$wattledger" "$python" /usr/bin/time curl prometheus promtool victoria-metrics; do
    command -v "$needed" >/dev/null || { echo "$0: $needed is missing" >&2; exit 1; }
done
"$python" -c 'import duckdb, pandas, polars, pyarrow'
work=$(mktemp -d "${DIRECTORY:-${TMPDIR:-/tmp}}/wattledger-compare.XXXXXX")
server=
finish() {
    stop_server
    rm -rf "$work"
}
stop_server() {
    if [[ -n $server ]]; then
        kill "$server" 2>/dev/null || true
        wait "$server" 2>/dev/null || true
        server=
    fi
}
trap finish EXIT
trap 'exit 1' HUP INT TERM
cd "$work"
load=$(cut -d' ' -f1-3 /proc/loadavg)
export LC_ALL=C
TIMEFORMAT='%3R %3U %3S'

free_port() {
    "$python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

wait_for() {
    local nth
    for ((nth = 0; nth < 1200; nth++)); do
        if curl -sf -o /dev/null "$1"; then return; fi
        sleep 0.05
    done
    echo "$0: nobody answers at $1" >&2
    exit 1
}

# cpu_of PID: processor seconds so far.
cpu_of() { awk -v tick="$(getconf CLK_TCK)" '{ sub(/.*\) /, ""); print ($12 + $13) / tick }' "/proc/$1/stat"; }

# measured NAME ANSWER COMMAND...: the fastest of some runs, as a line for table.py. ANSWER is removed before each.
measured() {
    local name=$1 answer=$2 nth before server_cpu="" server_kib=""
    shift 2
    for ((nth = 0; nth < repeats; nth++)); do
        rm -rf "$answer"
        if [[ -n $server ]]; then
            # From here on the kernel counts the peak of memory anew.
            echo 5 >"/proc/$server/clear_refs"
            before=$(cpu_of "$server")
        fi
        # The shell's clock, for that of GNU time has hundredths only.
        { time /usr/bin/time --quiet --format=%M --output=kib "$@" >printed 2>&1; } 2>clock ||
            { cat printed >&2; exit 1; }
        if [[ -n $server ]]; then
            server_cpu=$(awk -v after="$(cpu_of "$server")" -v before="$before" 'BEGIN { print after - before }')
            server_kib=$(awk '/^VmHWM/ { print $2 }' "/proc/$server/status")
        fi
        awk -v OFS='\t' -v name="$name" -v answer="$answer" -v cpu="$server_cpu" -v kib="$server_kib" \
            '{ print name, answer, $1, $2 + $3, $4, cpu, kib }' <(paste -d' ' clock kib)
    done | sort -t $'\t' -k 3n | head -n 1 >>table.tsv
}

# prepared NAME COMMAND...: what has to be done before and is no part of the table.
prepared() {
    local name=$1
    shift
    /usr/bin/time --quiet --format='%e %U %S' --output=time "$@" >printed || exit 1
    awk -v name="$name" '{ printf "| %s | %.2f | %.2f |\n", name, $1, $2 + $3 }' time >>prepared.md
}

"$wattledger" simulate --nodes "$nodes" --gpus "$gpus" --days "$days" --start 2024-06-03 --out cluster >printed 2>&1
to=$(date -u -d "2024-06-03 + $days days" +%Y-%m-%dT00:00:00Z)
metrics='{__name__=~"DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION|node_rapl_(package|dram)_joules_total"}'
mkdir blocks
cp -rl cluster/snapshot/. blocks/
# promtool wants a write-ahead log beside the blocks, if only an empty one.
mkdir blocks/wal
"$python" "$here/holds.py" cluster/sacct.txt "$to" holds.csv
# shellcheck disable=SC2016 # the inner shell's own
prepared "promtool tsdb dump of the counters" sh -c 'promtool tsdb dump --match "$1" blocks >dump.txt' - "$metrics"
prepared "dump to Parquet" sh -c '"$1" "$2" parquet samples.parquet <dump.txt' - "$python" "$here/dump.py"
read -r samples series <printed
prepared "dump to JSON lines" sh -c '"$1" "$2" json samples.json <dump.txt' - "$python" "$here/dump.py"

given=(--snapshot cluster/snapshot --jobs cluster/sacct.txt --config cluster/wattledger.toml --zone DE)
report=("$wattledger" report "${given[@]}" --no-charts --no-html --no-md --out)
backfill=("$wattledger" backfill "${given[@]}" --ledger)
one_thread=(env RAYON_NUM_THREADS=1 POLARS_MAX_THREADS=1)
measured "wattledger report" report "${report[@]}" report
measured "wattledger report, one thread" report-one "${one_thread[@]}" "${report[@]}" report-one
measured "wattledger report --entries" report-entries "${report[@]}" report-entries --entries
measured "wattledger backfill" ledger "${backfill[@]}" ledger
measured "wattledger backfill, one thread" ledger-one "${one_thread[@]}" "${backfill[@]}" ledger-one

# both NAME KIND SOURCE: as first written, and with care.
both() {
    measured "$1" "$1.csv" "$python" "$here/with_$2.py" "$3" holds.csv "$1.csv"
    measured "$1, with care" "$1-care.csv" "$python" "$here/with_$2.py" --care "$3" holds.csv "$1-care.csv"
}

echo 'global: {}' >prometheus.yml
port=$(free_port)
# Block durations of two hours: else it would compact the blocks meanwhile.
prometheus --config.file=prometheus.yml --storage.tsdb.path=blocks --storage.tsdb.retention.time=100y \
    --storage.tsdb.min-block-duration=2h --storage.tsdb.max-block-duration=2h \
    --query.max-samples=1000000000 --web.listen-address="127.0.0.1:$port" >prometheus.log 2>&1 &
server=$!
prepared "Prometheus, start" sh -c "until curl -sf -o /dev/null http://127.0.0.1:$port/-/ready; do
    kill -0 $server || exit 1
    sleep 0.02
done"
both "Prometheus, PromQL" promql "http://127.0.0.1:$port"
stop_server

port=$(free_port)
# A subquery of a week has more points than it allows by default.
victoria-metrics -httpListenAddr="127.0.0.1:$port" -storageDataPath=victoria -retentionPeriod=100y \
    -search.disableCache -search.maxPointsPerTimeseries=10000000 -search.maxQueryDuration=10m >victoria.log 2>&1 &
server=$!
wait_for "http://127.0.0.1:$port/health"
before=$(cpu_of "$server")
prepared "VictoriaMetrics, import" sh -c "
    curl -sf -X POST http://127.0.0.1:$port/api/v1/import -T samples.json &&
    curl -sf http://127.0.0.1:$port/internal/force_flush"
importing=$(awk -v after="$(cpu_of "$server")" -v before="$before" 'BEGIN { printf "%.2f", after - before }')
both "VictoriaMetrics, MetricsQL" promql "http://127.0.0.1:$port"
stop_server

both DuckDB duckdb samples.parquet
measured "DuckDB, no blank values" blanks.csv \
    "$python" "$here/with_duckdb.py" --no-blanks samples.parquet holds.csv blanks.csv
both Polars polars samples.parquet
both pandas pandas samples.parquet

in_blocks=$(sed -n 's/.*"numSamples": *\([0-9]*\).*/\1/p' cluster/snapshot/*/meta.json |
    awk '{ sum += $1 } END { printf "%.0f", sum }')
millions() { awk -v n="$1" 'BEGIN { printf "%.2f million", n / 1e6 }'; }
versions() {
    "$wattledger" --version
    prometheus --version 2>&1 | sed -n '1s/prometheus, version \([^ ]*\).*/Prometheus \1/p'
    dpkg-query -W -f 'VictoriaMetrics ${Version}\n' victoria-metrics
    "$python" -c 'import duckdb, pandas, polars
for module, name in (duckdb, "DuckDB"), (polars, "Polars"), (pandas, "pandas"):
    print(name, module.__version__)'
}
cat <<END
Energy of each run and hour: $nodes nodes with $gpus GPUs, $days days, scraped every 15 s.
The blocks hold $(millions "$in_blocks") samples; the $series series of the counters, $(millions "$samples")
samples, are what VictoriaMetrics, DuckDB, Polars and pandas were given.
$(nproc) processors, load $load before; fastest of $repeats;
$(versions | paste -sd, | sed 's/,/, /g').

END
"$python" "$here/table.py" cluster holds.csv samples.parquet table.tsv
cat <<END

"CPU s" and "MiB" of a server stand after those of its client. "GPU kWh": runs on nodes whose GPUs have an energy
counter. "CPU+DRAM kWh": runs on nodes with RAPL. "all kWh": all runs, with what only a gauge, a model or nothing sees
(GPUs without a counter, fans, boards, losses). "With care" is what the head of each script says: one of two replicas,
no blank values, and in SQL and data frames the wraps of RAPL and edges between samples. GPU energy that is off by
orders of magnitude is due to blank values alone: see the row without them. wattledger reads the job log itself and all
meters, and its times hold shares, balances and emissions; the others were given the job log as a table. Its report has
rows for runs and for hours of nodes; with --entries and in its ledger (backfill) for hours of runs too.

| made ready before, not counted above | wall s | CPU s |
| --- | ---: | ---: |
$(cat prepared.md)

The CPU time of the start and of the import is curl's; VictoriaMetrics took $importing s for its import.
END
