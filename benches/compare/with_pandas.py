"""Energy of each run and hour in pandas.

Usage: with_pandas.py [--care] PARQUET HOLDS OUTPUT

GPUs: increases between neighbouring samples, added up by `hpc_job` and hour. Processors and memory: a running sum of
the increases, `merge_asof` at both ends of each run and hour, times the part of the node that the run held.
Without --care: both replicas of a node are added up, blank values are taken for readings, a fall is a reset, a run or
hour begins and ends at the sample before.
With it: replica `a` only, values over 1e14 left out, GPUs followed over changes of their labels, a fall is a wrap at
the range that this hardware has (also where it was a reboot), processors and memory linear between samples.
Either way leaves out: where in the interval between two samples a GPU changed hands, GPUs without an energy counter or
`hpc_job`, processors without RAPL, the rest of the node.
"""

import sys

import numpy as np
import pandas as pd

GPU = "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION"
RANGES = {"node_rapl_package_joules_total": 262143.328850, "node_rapl_dram_joules_total": 65712.999613}


def at_edge(windows: pd.DataFrame, curves: pd.DataFrame, edge: str, care: bool) -> pd.DataFrame:
    """With `joules_` and the edge's name: what the curve has there."""
    right = curves[["curve", "t", "joules"]].assign(**{edge: curves["t"]})
    windows = pd.merge_asof(windows.sort_values(edge), right, on=edge, by="curve")
    joules = windows["joules"].fillna(0.0)
    if care:
        right = right.rename(columns={"t": "t_after", "joules": "joules_after"})
        windows = pd.merge_asof(windows, right, on=edge, by="curve", direction="forward")
        slope = (windows["joules_after"] - windows["joules"]) / (windows["t_after"] - windows["t"])
        joules += (slope * (windows[edge] - windows["t"])).fillna(0.0)
    windows[f"joules_{edge}"] = joules
    return windows.drop(columns=["t", "joules", "t_after", "joules_after"], errors="ignore")


def main() -> None:
    arguments = sys.argv[1:]
    care = arguments[0] == "--care"
    parquet, holds, output = arguments[care:]
    samples = pd.read_parquet(parquet)
    if care:
        samples = samples[(samples["v"] < 1e14) & (samples["replica"].isna() | (samples["replica"] == "a"))]
    samples = samples.assign(curve=samples["device" if care else "series"]).sort_values(["curve", "t"])
    step = samples.groupby("curve", observed=True)["v"].diff()
    fallen = samples["v"]
    if care:
        fallen = (step + samples["metric"].astype(object).map(RANGES).astype(float)).fillna(samples["v"])
    samples["increase"] = step.mask(step < 0, fallen).fillna(0.0)
    held = pd.read_csv(holds, dtype={"run_id": str, "job_id": str})

    is_gpu = samples["metric"] == GPU
    gpu = samples[is_gpu & samples["hpc_job"].notna()]
    gpu = gpu.assign(job_id=gpu["hpc_job"].astype(str), hour=gpu["t"] // 3_600_000 * 3600)
    gpu = gpu.groupby(["job_id", "hour"])["increase"].sum().div(3.6e9).rename("kwh").reset_index()
    gpu = gpu.merge(held[["run_id", "job_id"]].drop_duplicates(), on="job_id").assign(component="gpu")

    curves = samples[~is_gpu]
    curves = curves.assign(
        curve=curves["curve"].astype(str),
        node=curves["node"].astype(str),
        joules=curves.groupby("curve", observed=True)["increase"].cumsum(),
    ).sort_values("t")
    windows = held.assign(
        hour=[list(range(row.start_s // 3600 * 3600, row.end_s, 3600)) for row in held.itertuples()]
    )
    windows = windows.explode("hour").dropna(subset="hour").astype({"hour": "int64"})
    windows["since"] = np.maximum(windows["start_s"], windows["hour"]) * 1000
    windows["until"] = np.minimum(windows["end_s"], windows["hour"] + 3600) * 1000
    windows = windows.merge(curves[["node", "metric", "curve"]].drop_duplicates(), on="node")
    is_dram = windows["metric"] == "node_rapl_dram_joules_total"
    windows["part"] = windows["cpu_part"].mask(is_dram, windows["dram_part"])
    for edge in ("since", "until"):
        windows = at_edge(windows, curves, edge, care)
    used = windows["joules_until"] - windows["joules_since"]
    windows["kwh"] = used * windows["part"] / 3.6e6
    cpu_dram = windows.groupby(["run_id", "hour"])["kwh"].sum().reset_index().assign(component="cpu_dram")
    columns = ["run_id", "hour", "component", "kwh"]
    pd.concat([gpu[columns], cpu_dram[columns]]).to_csv(output, index=False)


if __name__ == "__main__":
    main()
