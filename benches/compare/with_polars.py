"""Energy of each run and hour in Polars.

Usage: with_polars.py [--care] PARQUET HOLDS OUTPUT

GPUs: increases between neighbouring samples, added up by `hpc_job` and hour. Processors and memory: a running sum of
the increases, `join_asof` at both ends of each run and hour, times the part of the node that the run held.
Without --care: both replicas of a node are added up, blank values are taken for readings, a fall is a reset, a run or
hour begins and ends at the sample before.
With it: replica `a` only, values over 1e14 left out, GPUs followed over changes of their labels, a fall is a wrap at
the range that this hardware has (also where it was a reboot), processors and memory linear between samples.
Either way leaves out: where in the interval between two samples a GPU changed hands, GPUs without an energy counter or
`hpc_job`, processors without RAPL, the rest of the node.
"""

import sys

import polars as pl

GPU = "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION"
RANGES = {"node_rapl_package_joules_total": 262143.328850, "node_rapl_dram_joules_total": 65712.999613}


def at_edge(windows: pl.LazyFrame, curves: pl.LazyFrame, edge: str, care: bool) -> pl.LazyFrame:
    """With `joules_` and the edge's name: what the curve has there."""
    before, after, joules = pl.col("t_before"), pl.col("t_after"), pl.col("before").fill_null(0.0)
    # Both sides are sorted, which Polars cannot see by curve, and warns of.
    kept = {"on": edge, "by": "curve", "check_sortedness": False}
    right = curves.select("curve", pl.col("t").alias(edge), t_before="t", before="joules")
    windows = windows.sort(edge).join_asof(right, **kept)
    if care:
        right = curves.select("curve", pl.col("t").alias(edge), t_after="t", after="joules")
        windows = windows.join_asof(right, strategy="forward", **kept)
        slope = (pl.col("after") - pl.col("before")) / (after - before)
        joules += pl.when(after > before).then(slope * (pl.col(edge) - before)).fill_null(0.0)
    windows = windows.with_columns(joules.alias(f"joules_{edge}"))
    return windows.drop("t_before", "before", "t_after", "after", strict=False)


def main() -> None:
    arguments = sys.argv[1:]
    care = arguments[0] == "--care"
    parquet, holds, output = arguments[care:]
    samples = pl.scan_parquet(parquet)
    fallen = pl.col("v")
    if care:
        samples = samples.filter(pl.col("v") < 1e14, pl.col("replica").cast(pl.String).fill_null("a") == "a")
        wrap = pl.col("metric").cast(pl.String).replace_strict(RANGES, default=None, return_dtype=pl.Float64)
        fallen = pl.coalesce(pl.col("step") + wrap, "v")
    curve = "device" if care else "series"
    increases = (
        samples.with_columns(pl.col(curve).alias("curve"))
        .sort("curve", "t")
        .with_columns(step=pl.col("v").diff().over("curve"))
        .with_columns(increase=pl.when(pl.col("step") < 0).then(fallen).otherwise(pl.col("step")).fill_null(0.0))
        .with_columns(joules=pl.col("increase").cum_sum().over("curve"))
        .collect()
    )
    held = pl.read_csv(holds, schema_overrides={"run_id": pl.String, "job_id": pl.String})

    gpu = (
        increases.lazy()
        .filter(pl.col("metric") == GPU, pl.col("hpc_job").is_not_null())
        .group_by(job_id=pl.col("hpc_job").cast(pl.String), hour=pl.col("t") // 3_600_000 * 3600)
        .agg(kwh=pl.col("increase").sum() / 3.6e9)
        .join(held.lazy().select("run_id", "job_id").unique(), on="job_id")
        .select("run_id", "hour", component=pl.lit("gpu"), kwh="kwh")
    )

    curves = increases.lazy().filter(pl.col("metric") != GPU).sort("t")
    hours = pl.int_ranges(pl.col("start_s") // 3600 * 3600, "end_s", 3600)
    windows = (
        held.lazy()
        .with_columns(hour=hours)
        .explode("hour")
        .with_columns(
            since=pl.max_horizontal("start_s", "hour") * 1000,
            until=pl.min_horizontal("end_s", pl.col("hour") + 3600) * 1000,
        )
        .join(curves.select(pl.col("node").cast(pl.String), "metric", "curve").unique(), on="node")
        .with_columns(
            part=pl.when(pl.col("metric") == "node_rapl_dram_joules_total").then("dram_part").otherwise("cpu_part")
        )
    )
    for edge in ("since", "until"):
        windows = at_edge(windows, curves, edge, care)
    used = pl.col("joules_until") - pl.col("joules_since")
    cpu_dram = (
        windows.group_by("run_id", "hour")
        .agg(kwh=(used * pl.col("part")).sum() / 3.6e6)
        .select("run_id", "hour", component=pl.lit("cpu_dram"), kwh="kwh")
    )
    pl.concat([gpu, cpu_dram]).collect().write_csv(output)


if __name__ == "__main__":
    main()
