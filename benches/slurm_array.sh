#!/usr/bin/env bash
# Backfills a simulated cluster as a job array of a real Slurm, three nodes that are all this host, with the ledger as the meeting
# point: each task makes a part of the days. Holds the bytes against those of one go; then kills tasks with SIGKILL on their way,
# runs the array again, and holds the bytes again.
# Usage: benches/slurm_array.sh [CLUSTER]   (a directory that `wattledger simulate` made; default: one is simulated, DAYS=36)
# Needs `cargo build --release` first, or WATTLEDGER names another binary; and, on Debian 12 (any user will do to run it):
#   apt-get install -y --no-install-recommends slurmctld slurmd slurm-client slurm-wlm-basic-plugins munge time
# TASKS: tasks of the array, default 6. ROUNDS: how often tasks are killed, default 5. PORT: the first of ports, default 28817.
# Everything lives in one temporary directory and on loopback; whatever was started is stopped at the end, also after a failure.
set -euo pipefail
cluster=${1:+$(realpath "$1")}
cd "$(dirname "${BASH_SOURCE[0]}")/.."
# shellcheck source=benches/timed.sh
source benches/timed.sh
wattledger=$(realpath "${WATTLEDGER:-target/release/wattledger}")
for program in munged slurmctld slurmd sbatch; do
    type -P "$program" >/dev/null || {
        echo "there is no $program here; the head of this script says what to install" >&2
        exit 1
    }
done
scratch=$(mktemp -d)
cd "$scratch"
tasks=${TASKS:-6}
port=${PORT:-28817}
export SLURM_CONF=$scratch/slurm.conf

servers=()
# start NAME COMMAND...: a server in the background.
start() {
    local name=$1
    shift
    # In a session of its own: what the keyboard ends is the script, which ends the servers in order.
    setsid "$@" >"log/$name" 2>&1 &
    servers+=($!)
}

# wait_for SECONDS COMMAND...: until it succeeds.
wait_for() {
    local until=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        if ((SECONDS >= until)); then
            echo "gave up waiting for: $*" >&2
            return 1
        fi
        sleep 0.1
    done
}

no_jobs() { [[ -z $(timeout 5 squeue --noheader || echo unknown) ]]; }
idle_nodes() { (($(sinfo --noheader --Node --states=idle | wc -l) == 3)); }

finish() {
    local code=$? at
    trap - EXIT INT TERM
    # A job outlives its slurmd, so jobs are ended first.
    if ((${#servers[@]} > 1)) && kill -0 "${servers[1]}" 2>/dev/null && ! no_jobs; then
        squeue --noheader --format=%A | sort --unique | xargs --no-run-if-empty timeout 5 scancel || true
        wait_for 40 no_jobs || true
    fi
    ((code == 0)) || tail --lines=5 log/* task."${job:-none}".* >&2 2>/dev/null || true
    for ((at = ${#servers[@]} - 1; at >= 0; at--)); do
        kill "${servers[at]}" 2>/dev/null || true
        wait "${servers[at]}" 2>/dev/null || true
    done
    cd /
    rm -rf "$scratch"
    exit "$code"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

start_slurm() {
    local host name
    host=$(hostname -s)
    mkdir log state spool munge
    head --bytes=1024 /dev/urandom >munge/key
    chmod 400 munge/key
    start munged munged --foreground --force --key-file="$scratch/munge/key" --socket="$scratch/munge/socket" \
        --pid-file="$scratch/munge/pid" --seed-file="$scratch/munge/seed" --log-file="$scratch/munge/log"
    wait_for 30 test -S munge/socket
    cat >slurm.conf <<CONF
ClusterName=wattledger
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$port
SlurmUser=$(id -un)
SlurmdUser=$(id -un)
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket=$scratch/munge/socket
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
ReturnToService=2
SlurmctldPidFile=$scratch/slurmctld.pid
SlurmdPidFile=$scratch/slurmd.%n.pid
SlurmdSpoolDir=$scratch/spool/%n
StateSaveLocation=$scratch/state
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
MinJobAge=3600
SlurmdParameters=config_overrides
NodeName=n[001-003] NodeHostname=$host NodeAddr=127.0.0.1 Port=[$((port + 1))-$((port + 3))] CPUs=2 State=UNKNOWN
PartitionName=batch Nodes=ALL Default=YES MaxTime=INFINITE State=UP
CONF
    start slurmctld slurmctld -D
    wait_for 30 scontrol ping
    for name in n001 n002 n003; do
        mkdir "spool/$name"
        start "slurmd.$name" slurmd -N "$name" -D
    done
    wait_for 60 idle_nodes
}

flags=()
# A task is the process itself, so that a signal to it is one to wattledger.
cat >array.sh <<'TASK'
#!/bin/sh
echo "$SLURMD_NODENAME"
exec "$@" --shard "$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT"
TASK

# submit LEDGER: the array; its number, in `job`.
submit() {
    job=$(sbatch --parsable --array="1-$tasks" --ntasks=1 --chdir="$scratch" --output="$scratch/task.%A.%a" \
        array.sh "$wattledger" backfill --ledger "$1" "${flags[@]}" --quiet)
}

# ended WAY: how many of the tasks have ended so, as `0:0`, or `0:9` if killed.
ended() { scontrol --oneliner show job "$job" | grep --count " ExitCode=$1 " || true; }

# array LEDGER: runs the array to its end, where no task may fail.
array() {
    submit "$1"
    wait_for 600 no_jobs
    if (($(ended 0:0) != tasks)); then
        listed >&2
        return 1
    fi
}

listed() {
    scontrol --oneliner show job "$job" | sed --quiet \
        's/.* ArrayTaskId=\([0-9]*\) .* JobState=\([A-Z]*\) .* ExitCode=\([0-9:]*\) .* NodeList=\([^ ]*\) .*/task \1 on \4: \2, \3/p' |
        sort --key=2 --numeric-sort
}

# whole LEDGER: nothing is left to do, nothing is wrong, and the bytes are those of one go.
whole() {
    "$wattledger" backfill --ledger "$1" "${flags[@]}" >said 2>&1
    grep --quiet ": $days days: $days kept$" said || {
        cat said >&2
        return 1
    }
    "$wattledger" verify --ledger "$1" >verified 2>&1 || {
        cat verified >&2
        return 1
    }
    diff --recursive one "$1"
}

if [[ -z $cluster ]]; then
    cluster=$scratch/cluster
    timed "simulate" "$wattledger" simulate --out "$cluster" --nodes 6 --days "${DAYS:-36}"
fi
flags=(--snapshot "$cluster/snapshot" --jobs "$cluster/sacct.txt" --config "$cluster/wattledger.toml" --zone DE)
timed "backfill in one go" "$wattledger" backfill --ledger one "${flags[@]}" --quiet
days=$(find one/entries -name entries.parquet | wc -l)

start_slurm
sinfo --Node --long | tail --lines=+2
began=$EPOCHREALTIME
array many
awk -v began="$began" -v ended="$EPOCHREALTIME" -v tasks="$tasks" \
    'BEGIN { printf "array of %d tasks, from sbatch to the end of the last: %.1f s\n", tasks, ended - began }'
listed
for ((task = 1; task <= tasks; task++)); do
    # What Slurm says and what the task saw; a task that prints more has something wrong.
    [[ $(<"task.$job.$task") == "$(listed | sed --quiet "s/^task $task on \([^:]*\).*/\1/p")" ]] || {
        cat "task.$job.$task" >&2
        exit 1
    }
done
whole many
cat said verified
echo "$days days in $tasks parts: the same bytes"

began_any() { compgen -G "task.$job.*" >/dev/null; }
killed=0
for ((round = 1; round <= ${ROUNDS:-5}; )); do
    rm -rf killed
    submit killed
    wait_for 60 began_any
    # Every other task; one that has ended already is no failure. Without `--batch` Slurm would ask first, by SIGTERM.
    for ((task = 1; task <= tasks; task += 2)); do
        sleep "$((RANDOM % 2)).$(printf '%03d' $((RANDOM % 1000)))"
        scancel --signal=KILL --batch "${job}_$task" 2>/dev/null || true
    done
    wait_for 600 no_jobs
    now=$(ended 0:9)
    # Too late for all of them.
    ((now > 0)) || continue
    echo "round $round: $now of $tasks tasks killed, $(find killed/entries -name entries.parquet 2>/dev/null | wc -l) of $days days made"
    array killed
    whole killed
    ((killed += now, ++round))
done
echo "killed $killed tasks, and the array again: the same bytes"
