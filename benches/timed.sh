# Sourced by the scripts beside it.

# timed WHAT COMMAND...: runs it and prints its time and memory; what it printed itself only if it failed.
timed() {
    local what=$1
    shift
    /usr/bin/time --format="$what: %e s, %M KiB, %U s of processor time" "$@" 2>printed || {
        cat printed >&2
        return 1
    }
    tail --lines=1 printed
}
