#!/usr/bin/env python3
"""Random clusters that are nastier than the simulator's, as the text of `promtool tsdb dump`: counters that wrap, start again and jump, blank
values, exporters that stop, scrapes that jitter, replicas, runs shorter than a scrape, nodes that nobody knows.

    clusters.py SEED DIR     writes DIR/dump.txt, DIR/sacct.txt, DIR/wattledger.toml
"""
import os
import random
import sys

START = 1_780_272_000_000  # 2026-06-01T00:00:00Z
BLANK = 1.40737488355328e14
CPU = "Intel(R) Xeon(R) Gold 6248 CPU @ 2.50GHz"
GPU = "NVIDIA A100-SXM4-40GB"


class Cluster:
    def __init__(self, seed, size=None, hours=None):
        r = self.r = random.Random(seed)
        self.lines, self.runs = {}, []
        self.hours = hours or r.choice([2, 3, 5, 26])
        self.length = int(self.hours * 3_600_000)
        self.origin = START + r.randint(0, 23) * 3_600_000 + r.randint(0, 3_599_999)
        self.step = r.choice([15_000, 30_000, 60_000, 300_000])
        self.hardware = []
        count = size or r.randint(1, 3)
        self.names = [f"n{k + 1:02}" for k in range(count)]
        self.shape = {n: self.draw_shape() for n in self.names}
        for n in self.names:
            self.draw_runs(n)
        for n in self.names:
            self.node(n)

    def draw_shape(self):
        r = self.r
        return {
            "cores": r.choice([4, 8]),
            "threads": r.choice([1, 2]),
            "sockets": r.choice([1, 2]),
            "gpus": r.choice([0, 0, 1, 2]),
            "rapl": r.random() < 0.75,
            "dram": r.random() < 0.6,
            "ipmi": r.random() < 0.5,
            "gpu_energy": r.random() < 0.6,
            "gpu_power": r.random() < 0.7,
            "series_of_jobs": r.random() < 0.5,
            "known": r.random() < 0.85,
            "boots": r.random() < 0.3,
            "memory": r.choice([32, 64]) * 2**30,
            "jitter": r.choice([0, 0, 5, 400]),
            "binding": r.random() < 0.6,
        }

    def draw_runs(self, name):
        r, shape = self.r, self.shape[name]
        if not shape["known"]:
            return
        t = self.origin + r.randint(-600_000, 1_800_000)
        while t < self.origin + self.length:
            length = int(r.choice([20_000, 90_000, 600_000, 3_000_000, 9_000_000]) * r.uniform(0.5, 1.5)) // 1000 * 1000
            t = t // 1000 * 1000
            # More CPUs than the node has are not given out (W4 and the program differ there); more memory is
            there = [x["cpus"] for x in self.runs if x["node"] == name and x["start"] <= t + length + 1000 and t < x["end"]]
            free = shape["cores"] * shape["threads"] - sum(there)
            if free < 1:
                t += 60_000
                continue
            self.runs.append(
                {
                    "id": 100 + len(self.runs),
                    "node": name,
                    "start": t,
                    "end": t + max(1000, length),
                    "cpus": r.randint(1, free),
                    "memory": r.choice([None, r.randint(1, 32)]),
                    "gpus": r.randint(0, shape["gpus"]),
                    "load": r.random(),
                    "seen": r.random() < 0.85,
                }
            )
            t += r.choice([0, length, length // 2, length + r.randint(0, 900_000)])
            if len(self.runs) > 60:
                break

    def put(self, labels, t, value):
        self.lines.setdefault(tuple(sorted(labels.items())), []).append((t, value))

    def times(self, jitter):
        """Scrapes, some of them missed; each with whether it came off."""
        r = self.r
        t, out, quiet = self.origin + r.randint(0, self.step - 1), [], 0
        while t < self.origin + self.length:
            if quiet:
                quiet -= 1
            elif r.random() < 0.004:
                quiet = r.choice([1, 2, 5, 30, 70])
            out.append((t + r.randint(0, jitter), not quiet))
            t += self.step
        return out

    def node(self, name):
        r, shape = self.r, self.shape[name]
        runs = [x for x in self.runs if x["node"] == name]
        instance = {"instance": f"{name}.cluster:9100", "job": "node"}
        scrapes = self.times(shape["jitter"])
        boot = (self.origin - 10**7) / 1000
        reboot = self.origin + int(self.length * r.uniform(0.2, 0.8)) // 1000 * 1000 if shape["boots"] else None
        load = lambda t: min(1.0, 0.03 + sum(x["cpus"] * x["load"] for x in runs if x["start"] <= t < x["end"]) / shape["cores"])
        wraps = r.choice([65532.610987, 262143.32885])
        logical = shape["cores"] * shape["threads"]
        package = [r.uniform(0, wraps) for _ in range(shape["sockets"])]
        dram = [r.uniform(0, 65712.999613) for _ in range(shape["sockets"])]
        idle, busy = [r.uniform(0, 1e5) for _ in range(logical)], [r.uniform(0, 1e5) for _ in range(logical)]
        previous, was_up, alive = None, True, set()
        for t, up in scrapes:
            if reboot and previous and previous < reboot <= t:
                boot = reboot / 1000
                package, dram = [0.0] * len(package), [0.0] * len(dram)
                idle, busy = [0.0] * logical, [0.0] * logical
                previous = reboot
            if reboot and reboot - 400_000 < t < reboot:
                up = False
            seconds = (t - previous) / 1000 if previous else 0.0
            u = load(t)
            for k in range(shape["sockets"]):
                package[k] = (package[k] + seconds * (40 + 110 * u + r.uniform(0, 4))) % wraps
                dram[k] = (dram[k] + seconds * (5 + 10 * u)) % 65712.999613
            for k in range(logical):
                idle[k] += seconds * (1 - u)
                busy[k] += seconds * u
            previous = t
            self.put({"__name__": "up", **instance}, t, 1 if up else 0)
            put = lambda metric, value, **more: self.sample(alive, up, {"__name__": metric, **instance, **more}, t, value)
            put("node_uname_info", 1, nodename=f"{name}.cluster")
            put("node_boot_time_seconds", boot)
            put("node_memory_MemTotal_bytes", shape["memory"])
            used = 2**31 + sum(x["load"] * 2**30 for x in runs if x["start"] <= t < x["end"])
            put("node_memory_MemAvailable_bytes", shape["memory"] - used)
            for k in range(logical):
                put("node_cpu_info", 1, cpu=str(k), core=str(k % shape["cores"]), package=str(k % shape["sockets"]), model_name=CPU)
                for mode, part, of in (("idle", 0.9, idle), ("iowait", 0.1, idle), ("user", 0.8, busy), ("system", 0.2, busy), ("guest", 0.05, busy)):
                    put("node_cpu_seconds_total", round(of[k] * part, 2), cpu=str(k), mode=mode)
            if shape["rapl"]:
                for k in range(shape["sockets"]):
                    value = round(package[k], 6)
                    if r.random() < 0.0005:
                        value = r.choice([0.0, 1e9])
                    put("node_rapl_package_joules_total", value, index=str(k), path=f"/sys/class/powercap/intel-rapl:{k}")
                    if shape["dram"]:
                        put("node_rapl_dram_joules_total", round(dram[k], 6), index=str(k), path=f"/sys/class/powercap/intel-rapl:{k}:0")
            was_up = up
        if shape["ipmi"]:
            alive = set()
            for t, up in self.times(300):
                value = 120 + 300 * load(t) + 200 * shape["gpus"] + r.uniform(0, 9)
                labels = {"__name__": "ipmi_dcmi_power_consumption_watts", "instance": name, "job": "ipmi"}
                self.sample(alive, up, labels, t, round(value))
        self.gpus(name, runs)
        self.jobs(name, runs)

    def sample(self, alive, up, labels, t, value):
        """A scrape that fails puts a stale marker behind what was there."""
        key = tuple(sorted(labels.items()))
        if up:
            self.put(labels, t, value)
            alive.add(key)
        elif key in alive:
            self.put(labels, t, "NaN")
            alive.discard(key)

    def gpus(self, name, runs):
        r, shape = self.r, self.shape[name]
        if not shape["gpus"]:
            return
        scrapes = self.times(shape["jitter"])
        free = {}
        for x in sorted(runs, key=lambda x: x["start"]):
            x["has"] = [g for g in range(shape["gpus"]) if free.get(g, 0) <= x["start"]][: x["gpus"]]
            x["gpus"] = len(x["has"])
            for g in x["has"]:
                free[g] = x["end"]
        for g in range(shape["gpus"]):
            joules, previous, last_job, alive = r.uniform(0, 1e6), None, None, set()
            for t, up in scrapes:
                job = next((x for x in runs if g in x["has"] and x["start"] <= t < x["end"]), None)
                watts = 55 + (300 * job["load"] if job else 0) + r.uniform(0, 5)
                joules += watts * (t - previous) / 1000 if previous else 0.0
                previous = t
                if r.random() < 0.0007:
                    joules = 0.0  # the driver was loaded anew
                labels = {"instance": f"{name}:9400", "job": "gpu", "UUID": f"GPU-{name}-{g}", "gpu": str(g), "modelName": GPU, "Hostname": name}
                if job and shape["binding"]:
                    labels["hpc_job"] = str(job["id"])
                now = labels.get("hpc_job")
                if now != last_job:
                    for key in list(alive):
                        self.sample(alive, False, dict(key), t, 0)
                    last_job = now
                if shape["gpu_energy"]:
                    value = round(joules * 1000) if r.random() > 0.001 else BLANK * 10
                    self.sample(alive, up, {"__name__": "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", **labels}, t, value)
                if shape["gpu_power"] or not shape["gpu_energy"]:
                    value = round(watts, 3) if r.random() > 0.001 else r.choice([BLANK, 1e5])
                    self.sample(alive, up, {"__name__": "DCGM_FI_DEV_POWER_USAGE", **labels}, t, value)
                self.sample(alive, up, {"__name__": "DCGM_FI_DEV_GPU_UTIL", **labels}, t, round(100 * job["load"]) if job else 0)

    def jobs(self, name, runs):
        """cgroup_exporter: CPU time and memory of each job."""
        r, shape = self.r, self.shape[name]
        if not shape["series_of_jobs"]:
            return
        alive = set()
        scrapes = self.times(shape["jitter"])
        for x in runs:
            if not x["seen"]:
                continue
            for t, up in scrapes:
                labels = {"instance": f"{name}:9306", "job": "cgroup", "jobid": str(x["id"]), "step": "", "task": ""}
                labels = {k: v for k, v in labels.items() if v}
                there = up and x["start"] <= t < x["end"]
                used = round((t - x["start"]) / 1000 * x["cpus"] * x["load"] * shape["threads"], 2)
                self.sample(alive, there, {"__name__": "cgroup_cpu_total_seconds", **labels}, t, used)
                self.sample(alive, there, {"__name__": "cgroup_memory_rss_bytes", **labels}, t, round(x["load"] * 2**30))

    def write(self, into):
        os.makedirs(into, exist_ok=True)
        with open(os.path.join(into, "dump.txt"), "w", encoding="utf-8") as file:
            for labels, samples in sorted(self.lines.items()):
                head = "{" + ", ".join(f'{k}="{v}"' for k, v in labels) + "}"
                for t, value in samples:
                    file.write(f"{head} {value} {t}\n")
        with open(os.path.join(into, "sacct.txt"), "w", encoding="utf-8") as file:
            file.write("JobID|JobIDRaw|User|Account|Partition|State|Start|End|NNodes|NodeList|AllocCPUS|AllocTRES|JobName\n")
            for x in self.runs:
                tres = f"cpu={x['cpus']}" + (f",mem={x['memory']}G" if x["memory"] else "") + (f",gres/gpu={x['gpus']}" if x["gpus"] else "")
                file.write(
                    f"{x['id']}|{x['id']}|alice|physics|batch|COMPLETED|{x['start'] // 1000}|{x['end'] // 1000}|1|{x['node']}|{x['cpus']}|{tres}|job\n"
                )
        with open(os.path.join(into, "wattledger.toml"), "w", encoding="utf-8") as file:
            if self.r.random() < 0.5:
                file.write('[[hardware]]\nnodes = "n.*"\ncpu_idle_w = 35\n')


if __name__ == "__main__":
    Cluster(int(sys.argv[1])).write(sys.argv[2])
