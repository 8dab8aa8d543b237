"""Energy of each run and hour by SQL, in DuckDB.

Usage: with_duckdb.py [--no-blanks | --care] PARQUET HOLDS OUTPUT

GPUs: increases between neighbouring samples, added up by `hpc_job` and hour. Processors and memory: a running sum of
the increases, an ASOF join at both ends of each run and hour, times the part of the node that the run held.
Without --care: both replicas of a node are added up, blank values are taken for readings, a fall is a reset, a run or
hour begins and ends at the sample before.
With --no-blanks: values over 1e14 left out, nothing else, to tell what they do from what the rest does.
With --care: replica `a` only, values over 1e14 left out, GPUs followed over changes of their labels, a fall is a wrap
at the range that this hardware has (also where it was a reboot), processors and memory linear between samples.
Either way leaves out: where in the interval between two samples a GPU changed hands, GPUs without an energy counter or
`hpc_job`, processors without RAPL, the rest of the node.
"""

import sys

import duckdb

QUERY = """
copy (
    with steps as (
        select *, v - lag(v) over (partition by {curve} order by t) as step
        from read_parquet('{parquet}') where {wanted}
    ),
    increases as (
        select *, {curve} as curve, case when step is null then 0 when step >= 0 then step else {fallen} end as increase
        from steps
    ),
    curves as (
        select node, metric, curve, t, sum(increase) over (partition by curve order by t) as joules
        from increases where metric <> 'DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION'
    ),
    held as (select * from read_csv('{holds}', types = {{'run_id': 'varchar', 'job_id': 'varchar'}})),
    cut as (
        select *, greatest(start_s, hour) as since_s, least(end_s, hour + 3600) as until_s
        from (select *, unnest(range(start_s // 3600 * 3600, end_s, 3600)) as hour from held)
    ),
    windows as (
        select cut.*, curve, case when metric = 'node_rapl_dram_joules_total' then dram_part else cpu_part end as part
        from cut join (select distinct node, metric, curve from curves) using (node)
    ),
    gpu as (
        select run_id, t // 3600000 * 3600 as hour, 'gpu' as component, sum(increase) / 3.6e9 as kwh
        from increases join (select distinct run_id, job_id from held) on job_id = hpc_job
        where metric = 'DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION'
        group by all
    ),
    cpu_dram as (
        select run_id, hour, 'cpu_dram' as component,
            sum(({ends} - {starts}) * part) / 3.6e6 as kwh
        from windows {joins}
        group by all
    )
    select * from gpu union all select * from cpu_dram
) to '{output}' (header)
"""


# At an edge: the sample before; with care linear between it and the one after.
BEFORE = "asof left join curves as {name} on windows.curve = {name}.curve and {name}.t <= {edge} * 1000"
AFTER = """asof left join curves as {name}_after
    on windows.curve = {name}_after.curve and {name}_after.t >= {edge} * 1000"""
LINEAR = """(coalesce({name}.joules, 0) + coalesce(({name}_after.joules - {name}.joules)
    * ({edge} * 1000 - {name}.t) / nullif({name}_after.t - {name}.t, 0), 0))"""
EDGES = {"starts": "since_s", "ends": "until_s"}


def main() -> None:
    arguments = sys.argv[1:]
    care, no_blanks = "--care" in arguments, "--no-blanks" in arguments
    parquet, holds, output = arguments[-3:]
    wraps = """case metric when 'node_rapl_package_joules_total' then step + 262143.328850
        when 'node_rapl_dram_joules_total' then step + 65712.999613 else v end"""
    joins = [BEFORE, AFTER] if care else [BEFORE]
    joules = LINEAR if care else "coalesce({name}.joules, 0)"
    at_edges = {name: joules.format(name=name, edge=edge) for name, edge in EDGES.items()}
    duckdb.sql(
        QUERY.format(
            parquet=parquet,
            holds=holds,
            output=output,
            curve="device" if care else "series",
            wanted="v < 1e14 and coalesce(replica, 'a') = 'a'" if care else "v < 1e14" if no_blanks else "true",
            fallen=wraps if care else "v",
            joins=" ".join(join.format(name=name, edge=edge) for name, edge in EDGES.items() for join in joins),
            **at_edges,
        )
    )


if __name__ == "__main__":
    main()
