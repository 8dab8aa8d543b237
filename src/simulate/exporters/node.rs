//! node_exporter 1.5.

use super::meter::{DRAM_RANGE_UJ, Mode, PACKAGE_RANGE_UJ};
use super::{Exporter, Meter, Pair, Series, pair};
use crate::simulate::hardware::SOCKETS;
use crate::simulate::random::{Purpose, stream};
use rand::RngExt;

const MODES: [(&str, Option<Mode>); 8] = [
    ("idle", Some(Mode::Idle)),
    ("iowait", Some(Mode::Iowait)),
    ("irq", None),
    ("nice", None),
    ("softirq", Some(Mode::Softirq)),
    ("steal", None),
    ("system", Some(Mode::System)),
    ("user", Some(Mode::User)),
];

pub(super) fn series(exporter: &Exporter<'_>) -> Vec<Series> {
    let node = exporter.node;
    let mut all = vec![
        exporter.series("node_boot_time_seconds", &[], Meter::BootTime),
        exporter.series("node_uname_info", &uname(&node.nodename), Meter::Constant(1.0)),
        exporter.series("node_dmi_info", &dmi(exporter.nth), Meter::Constant(1.0)),
        exporter.series("node_exporter_build_info", &build(), Meter::Constant(1.0)),
        exporter.series("node_memory_MemTotal_bytes", &[], Meter::Constant((node.memory_mib << 20) as f64)),
        exporter.series("node_memory_MemAvailable_bytes", &[], Meter::MemoryAvailable),
    ];
    for cpu in 0..node.cpus {
        let label = pair("cpu", cpu.to_string());
        let socket = node.socket_of(cpu);
        let core = cpu - socket * node.cores_per_socket();
        let model = node.cpu_model;
        let info = [
            label.clone(),
            pair("cachesize", "24576 KB"),
            pair("core", core.to_string()),
            pair("family", model.family),
            pair("microcode", "0xd0003b9"),
            pair("model", model.model),
            pair("model_name", model.name),
            pair("package", socket.to_string()),
            pair("stepping", "6"),
            pair("vendor", model.vendor),
        ];
        all.push(exporter.series("node_cpu_info", &info, Meter::Constant(1.0)));
        for (mode, counted) in MODES {
            let meter =
                counted.map_or(Meter::Constant(0.0), |mode| Meter::CpuSeconds { cpu: cpu as usize, mode });
            all.push(exporter.series("node_cpu_seconds_total", &[label.clone(), pair("mode", mode)], meter));
        }
        if exporter.scenario.extra_series {
            all.extend(extra(exporter, &label));
        }
    }
    let mut chance = stream(exporter.scenario.seed, Purpose::Meter, (exporter.nth as u64) << 8);
    for index in 0..SOCKETS as usize {
        let chip = pair("chip", format!("platform_coretemp_{index}"));
        all.push(exporter.series(
            "node_hwmon_chip_names",
            &[chip.clone(), pair("chip_name", "coretemp")],
            Meter::Constant(1.0),
        ));
        let sensor = pair("sensor", "temp1");
        let temperature = Meter::PackageTemperature { index };
        all.push(exporter.series("node_hwmon_temp_celsius", &[chip, sensor], temperature));
        if node.rapl {
            let (package_uj, dram_uj) =
                (chance.random_range(0..PACKAGE_RANGE_UJ), chance.random_range(0..DRAM_RANGE_UJ));
            let place = |path: String| [pair("index", index.to_string()), pair("path", path)];
            all.push(exporter.series(
                "node_rapl_package_joules_total",
                &place(format!("/sys/class/powercap/intel-rapl:{index}")),
                Meter::RaplPackage { index, start_uj: package_uj },
            ));
            all.push(exporter.series(
                "node_rapl_dram_joules_total",
                &place(format!("/sys/class/powercap/intel-rapl:{index}:0")),
                Meter::RaplDram { index, start_uj: dram_uj },
            ));
        }
    }
    all
}

/// What a real node_exporter also shows for every processor.
fn extra(exporter: &Exporter<'_>, cpu: &Pair) -> Vec<Series> {
    let only = [cpu.clone()];
    let guest = ["nice", "user"].map(|mode| {
        exporter.series(
            "node_cpu_guest_seconds_total",
            &[cpu.clone(), pair("mode", mode)],
            Meter::Constant(0.0),
        )
    });
    let counters = [
        ("node_schedstat_running_seconds_total", 0.3),
        ("node_schedstat_waiting_seconds_total", 0.02),
        ("node_schedstat_timeslices_total", 240.0),
        ("node_softnet_processed_total", 31.0),
        ("node_softnet_dropped_total", 0.0),
        ("node_softnet_times_squeezed_total", 0.01),
    ];
    let grows =
        counters.map(|(metric, per_second)| exporter.series(metric, &only, Meter::Grows { per_second }));
    let clock = exporter.series("node_cpu_scaling_frequency_hertz", &only, Meter::Constant(2.9e9));
    guest.into_iter().chain(grows).chain([clock]).collect()
}

fn uname(nodename: &str) -> Vec<Pair> {
    vec![
        pair("domainname", "(none)"),
        pair("machine", "x86_64"),
        pair("nodename", nodename),
        pair("release", "5.14.0-427.13.1.el9_4.x86_64"),
        pair("sysname", "Linux"),
        pair("version", "#1 SMP PREEMPT_DYNAMIC Wed May 1 19:11:28 UTC 2024"),
    ]
}

fn dmi(nth: usize) -> Vec<Pair> {
    let serial = format!("SIM{nth:04}");
    vec![
        pair("bios_date", "03/14/2024"),
        pair("bios_release", "1.13"),
        pair("bios_vendor", "Dell Inc."),
        pair("bios_version", "1.13.2"),
        pair("board_name", "0X7VWV"),
        pair("board_serial", format!(".{serial}.SIMULATED.")),
        pair("board_vendor", "Dell Inc."),
        pair("board_version", "A01"),
        pair("chassis_serial", &serial),
        pair("chassis_vendor", "Dell Inc."),
        pair("product_family", "PowerEdge"),
        pair("product_name", "PowerEdge R750xa"),
        pair("product_serial", &serial),
        pair("product_sku", "SKU=NotProvided;ModelName=PowerEdge R750xa"),
        pair("product_uuid", format!("00000000-0000-4000-8000-{nth:012}")),
        pair("system_vendor", "Dell Inc."),
    ]
}

fn build() -> Vec<Pair> {
    vec![
        pair("branch", "HEAD"),
        pair("goarch", "amd64"),
        pair("goos", "linux"),
        pair("goversion", "go1.19.3"),
        pair("revision", "1b48970ffcf5630534fb00bb0687d73c66d1c959"),
        pair("version", "1.5.0"),
    ]
}
