//! Meters of all exporters, and the traps of their sensors: each case is a dump of a few series with joules that
//! are worked out by hand.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    dead_code,
    reason = "a test fails by panicking; helpers are shared"
)]

use std::fmt::Write as _;
use std::path::PathBuf;

use tempfile::TempDir;

#[path = "support/truth.rs"]
mod support;

use support::{Row, convert, table, wattledger};

/// 2026-11-16 00:00 UTC.
const START_S: i64 = 1_794_787_200;
/// Two hours, so that no sensor is taken for one that stands still by chance.
const LENGTH_S: i64 = 7200;
const STEP_S: i64 = 30;
const KWH: f64 = 3.6e6;

/// Series on a node, as `promtool tsdb dump-openmetrics` would print them.
#[derive(Default)]
struct Case {
    lines: Vec<(i64, String)>,
    config: String,
}

impl Case {
    /// `value` is asked at each instant, in seconds from the start.
    fn series(mut self, series: &str, value: impl Fn(f64) -> f64) -> Self {
        for second in (0..=LENGTH_S).step_by(usize::try_from(STEP_S).unwrap()) {
            let at_s = START_S + second;
            self.lines.push((at_s, format!("{series} {:e} {at_s}.000", value(second as f64))));
        }
        self
    }

    /// A counter at constant power.
    fn counter(self, series: &str, watts: f64, unit_per_joule: f64) -> Self {
        self.series(series, |second| second * watts * unit_per_joule)
    }

    fn gauge(self, series: &str, value: f64) -> Self {
        self.series(series, |_| value)
    }

    fn config(mut self, text: &str) -> Self {
        self.config.push_str(text);
        self
    }

    /// The report, with nothing but these series.
    fn report(self) -> Reported {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let mut text = String::new();
        let mut lines = self.lines;
        lines.sort_by(|left, right| {
            let name = |line: &str| line.rsplitn(3, ' ').last().unwrap().to_owned();
            (name(&left.1), left.0).cmp(&(name(&right.1), right.0))
        });
        for (_, line) in lines {
            writeln!(text, "{line}").unwrap();
        }
        text.push_str("# EOF\n");
        std::fs::write(path("wattledger.toml"), self.config).unwrap();
        let (blocks, out) = (convert(directory.path(), &text), path("report"));
        wattledger()
            .args(["report", "--no-charts"])
            .arg("--snapshot")
            .arg(blocks)
            .arg("--config")
            .arg(path("wattledger.toml"))
            .arg("--out")
            .arg(out)
            .assert()
            .success();
        Reported { directory }
    }
}

struct Reported {
    directory: TempDir,
}

impl Reported {
    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join("report").join(name)
    }

    /// Mean power of a component of a node over the two hours.
    fn watts(&self, node: &str, component: &str) -> f64 {
        let column = format!("{component}_energy_kwh");
        let rows = table(&self.path("by_node.csv"));
        let row = rows.iter().find(|row| row.text("node") == node).unwrap();
        row.number(&column) * KWH / LENGTH_S as f64
    }

    fn meters(&self) -> Vec<Row> {
        table(&self.path("meters.csv"))
    }

    /// What became of a metric's series, in their order.
    fn status(&self, metric: &str) -> Vec<String> {
        let of = |row: &&Row| row.text("metric") == metric;
        self.meters().iter().filter(of).map(|row| row.text("status").to_owned()).collect()
    }
}

#[track_caller]
fn close(found: f64, expected: f64) {
    assert!((found - expected).abs() < 1e-6 * expected.abs().max(1.0), "{found} instead of {expected}");
}

/// One device of each exporter at a power of its own: unit, device and node have to be right for the watts to be.
#[test]
fn every_exporter_in_its_own_unit() {
    let gpu = [
        ("DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION{Hostname=\"n\",UUID=\"GPU-a\",gpu=\"0\"}", 1e3),
        ("gpu_energy_consumed{hostname=\"n\",instance=\"n:5000\",serial_number=\"X1\",gpu_id=\"0\"}", 1e6),
        (
            "amd_gpu_energy_consumed{hostname=\"n\",instance=\"n:5000\",serial_number=\"X1\",gpu_id=\"0\"}",
            1e6,
        ),
        ("xpum_energy_joules{instance=\"n:29999\",uuid=\"0000-1\"}", 1.0),
        ("kepler_node_gpu_joules_total{node_name=\"n\",instance=\"n:28282\",gpu_uuid=\"GPU-a\"}", 1.0),
    ];
    for (series, per_joule) in gpu {
        let reported = Case::default().counter(series, 250.0, per_joule).report();
        close(reported.watts("n", "gpu"), 250.0);
    }
    let gauges = [
        ("DCGM_FI_DEV_POWER_USAGE_INSTANT{Hostname=\"n\",UUID=\"GPU-a\"}", "gpu", 1.0),
        ("nvidia_smi_power_draw_instant_watts{instance=\"n:9835\",uuid=\"a\"}", "gpu", 1.0),
        (
            "nvidia_gpu_power_usage_milliwatts{instance=\"n:9445\",minor_number=\"0\",uuid=\"GPU-a\"}",
            "gpu",
            1e3,
        ),
        ("gpu_package_power{instance=\"n:5000\",hostname=\"n\",gpu_id=\"0\"}", "gpu", 1.0),
        ("amd_gpu_power{instance=\"n:2021\",gpu_power=\"0\"}", "gpu", 1e6),
        ("xpum_power_watts{instance=\"n:29999\",uuid=\"0000-1\"}", "gpu", 1.0),
        ("nvml_instant_power_mW_alumet{instance=\"n:9091\",resource_id=\"0\"}", "gpu", 1e3),
        ("scaph_socket_power_microwatts{instance=\"n:8080\",socket_id=\"0\"}", "cpu", 1e6),
        (
            "scaph_domain_power_microwatts{instance=\"n:8080\",socket_id=\"0\",domain_name=\"dram\"}",
            "dram",
            1e6,
        ),
        ("kepler_node_cpu_watts{node_name=\"n\",instance=\"n:28282\",zone=\"package\"}", "cpu", 1.0),
        ("ceems_cray_pm_counters_power_watts{instance=\"n:9010\",domain=\"cpu\"}", "cpu", 1.0),
        ("ceems_cray_pm_counters_power_watts{instance=\"n:9010\",domain=\"accel0\"}", "gpu", 1.0),
    ];
    for (series, component, per_watt) in gauges {
        let reported = Case::default().gauge(series, 150.0 * per_watt).report();
        close(reported.watts("n", component), 150.0);
    }
    let nodes = [
        "ipmi_power_watts{instance=\"n:9290\",name=\"Pwr Consumption\"}",
        "ipmi_power_watts{instance=\"n:9290\",name=\"Total_Power\"}",
        "redfish_chassis_power_average_consumed_watts{instance=\"n:9610\"}",
        "idrac_power_control_consumed_watts{instance=\"n:9348\",id=\"0\",name=\"System Power Control\"}",
        "node_hwmon_power_average_watt{instance=\"n:9100\",chip=\"lnxsybus:00_acpi000d:00\",sensor=\"power1\"}",
        "ceems_ipmi_dcmi_power_current_watts{instance=\"n:9010\"}",
        "ceems_redfish_power_current_watts{instance=\"n:9010\",chassis=\"1\"}",
        "ceems_cray_pm_counters_power_watts{instance=\"n:9010\",domain=\"node\"}",
        "rPDU2OutletMeteredStatusPower{instance=\"pdu1\",rPDU2OutletMeteredStatusName=\"n\"}",
        "jetson_power_watts{instance=\"n:9101\",rail=\"VDD_IN\"}",
    ];
    for series in nodes {
        let cpu = "node_rapl_package_joules_total{instance=\"n:9100\",index=\"0\"}";
        let reported = Case::default().gauge(series, 400.0).counter(cpu, 100.0, 1.0).report();
        close(reported.watts("n", "cpu"), 100.0);
        close(reported.watts("n", "other"), 300.0);
    }
}

#[test]
fn two_outlets_of_a_node_add_up_and_its_own_meter_goes_first() {
    let outlet = |pdu: &str, name: &str| {
        format!("rPDU2OutletMeteredStatusPower{{instance=\"{pdu}\",rPDU2OutletMeteredStatusName=\"{name}\"}}")
    };
    let cpu = "node_rapl_package_joules_total{instance=\"n:9100\",index=\"0\"}";
    let case = || {
        Case::default()
            .gauge(&outlet("pdu-a", "N"), 210.0)
            .gauge(&outlet("pdu-b", "N"), 190.0)
            .gauge(&outlet("pdu-b", "other"), 999.0)
            .counter(cpu, 100.0, 1.0)
    };
    close(case().report().watts("n", "other"), 300.0);
    let own = case().gauge("ipmi_dcmi_power_consumption_watts{instance=\"n:9290\"}", 380.0).report();
    close(own.watts("n", "other"), 280.0);
}

/// What one exporter measures by socket another has as one sum, or under another name: never both.
#[test]
fn two_exporters_over_one_processor_count_once() {
    let rapl =
        |socket: u8| format!("node_rapl_package_joules_total{{instance=\"n:9100\",index=\"{socket}\"}}");
    let kepler = "kepler_node_cpu_joules_total{node_name=\"n\",instance=\"n:28282\",zone=\"package\"}";
    let cray = "ceems_cray_pm_counters_power_watts{instance=\"n:9010\",domain=\"cpu\"}";
    let both = |case: Case| case.counter(kepler, 200.0, 1.0).gauge(cray, 201.0);
    let reported = both(Case::default().counter(&rapl(0), 90.0, 1.0).counter(&rapl(1), 110.0, 1.0)).report();
    close(reported.watts("n", "cpu"), 200.0);
    assert_eq!(reported.status("kepler_node_cpu_joules_total"), ["part of what node_exporter measures"]);
    // Of those that name devices in their own way one is taken.
    let reported = both(Case::default()).report();
    close(reported.watts("n", "cpu"), 201.0);
}

#[test]
fn kepler_of_both_ages() {
    let old = |mode: &str| {
        format!(
            "kepler_node_package_joules_total{{exported_instance=\"n\",instance=\"k:9102\",mode=\"{mode}\",package=\"0\"}}"
        )
    };
    let reported =
        Case::default().counter(&old("idle"), 60.0, 1.0).counter(&old("dynamic"), 45.0, 1.0).report();
    close(reported.watts("n", "cpu"), 105.0);
    let new = |zone: &str| {
        format!("kepler_node_cpu_joules_total{{node_name=\"n\",instance=\"k:28282\",zone=\"{zone}\"}}")
    };
    let reported = Case::default()
        .counter(&new("package"), 120.0, 1.0)
        .counter(&new("core"), 80.0, 1.0)
        .counter(&new("psys"), 190.0, 1.0)
        .counter(&new("dram"), 20.0, 1.0)
        .report();
    close(reported.watts("n", "cpu"), 120.0);
    close(reported.watts("n", "dram"), 20.0);
}

#[test]
fn blanks_and_spikes_are_dropped_and_counted() {
    let odd = |at: f64, usual: f64, odd: f64| move |second: f64| if second == at { odd } else { usual };
    let traps = [
        // DCGM's blank, after the exporter's own division.
        ("DCGM_FI_DEV_POWER_USAGE{Hostname=\"n\",UUID=\"GPU-a\"}", "gpu", 140_737_488_355_328.0),
        // An Intel GPU's 3.69 TW.
        ("xpum_power_watts{instance=\"n:29999\",uuid=\"0000-1\"}", "gpu", 3.69e12),
        ("nvidia_smi_power_draw_watts{instance=\"n:9835\",uuid=\"a\"}", "gpu", f64::NAN),
    ];
    for (series, component, value) in traps {
        let reported = Case::default().series(series, odd(3600.0, 200.0, value)).report();
        close(reported.watts("n", component), 200.0);
    }
    let hwmon = "node_hwmon_power_average_watt{instance=\"n:9100\",chip=\"power_meter\",sensor=\"power1\"}";
    let cpu = "node_rapl_package_joules_total{instance=\"n:9100\",index=\"0\"}";
    let reported = Case::default()
        .series(hwmon, odd(3600.0, 300.0, 4_294_967_295_000.0))
        .counter(cpu, 100.0, 1.0)
        .report();
    close(reported.watts("n", "other"), 200.0);
    // A node's meter that never reads above 50 kW but for one spike of 60 kW.
    let ipmi = "ipmi_dcmi_power_consumption_watts{instance=\"n:9290\"}";
    let reported = Case::default().series(ipmi, odd(60.0, 300.0, 60_000.0)).counter(cpu, 100.0, 1.0).report();
    close(reported.watts("n", "other"), 200.0);
}

/// A memory zone that the hardware does not have counts nothing and does not stand in the way of the model; nor does it
/// take the package with it.
#[test]
fn a_dram_zone_of_zero_is_no_meter() {
    let reported = Case::default()
        .counter("node_rapl_package_joules_total{instance=\"n:9100\",index=\"0\"}", 100.0, 1.0)
        .gauge("node_rapl_dram_joules_total{instance=\"n:9100\",index=\"0\"}", 0.0)
        .gauge("node_memory_MemTotal_bytes{instance=\"n:9100\"}", 256e9)
        .report();
    close(reported.watts("n", "cpu"), 100.0);
    close(reported.watts("n", "dram"), 256.0 * 0.3725);
    let summary = std::fs::read_to_string(reported.path("summary.json")).unwrap();
    assert!(summary.contains("stood still"), "{summary}");
}

/// On a GH200 the energy counter is the module's: with a power gauge of the GPU it is left aside, without one it
/// stands for GPU and processor together, and no processor is modelled beside it.
#[test]
fn a_modules_counter_is_not_the_gpus() {
    let energy = "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION{Hostname=\"n\",UUID=\"GPU-a\",modelName=\"NVIDIA GH200 480GB\"}";
    let power = "DCGM_FI_DEV_POWER_USAGE{Hostname=\"n\",UUID=\"GPU-a\",modelName=\"NVIDIA GH200 480GB\"}";
    let cpu = "node_cpu_seconds_total{instance=\"n\",cpu=\"0\",mode=\"user\"}";
    let config = "[[hardware]]\ncpu_tdp_w = 250.0\n";
    let idle = "node_cpu_seconds_total{instance=\"n\",cpu=\"0\",mode=\"idle\"}";
    let case =
        || Case::default().counter(energy, 620.0, 1e3).counter(cpu, 1.0, 1.0).gauge(idle, 0.0).config(config);
    let reported = case().gauge(power, 450.0).report();
    close(reported.watts("n", "gpu"), 450.0);
    close(reported.watts("n", "cpu"), 1.02 * 250.0);
    let reported = case().report();
    close(reported.watts("n", "gpu"), 620.0);
    close(reported.watts("n", "cpu"), 0.0);
}

/// The mean field and the instant one of a GPU, and two rows of MIG instances: one meter.
#[test]
fn replicas_of_a_card_count_once() {
    let of = |metric: &str, instance: &str| {
        format!("{metric}{{GPU_I_ID=\"{instance}\",GPU_I_PROFILE=\"3g.20gb\",Hostname=\"n\",UUID=\"GPU-a\"}}")
    };
    let reported = Case::default()
        .gauge(&of("DCGM_FI_DEV_POWER_USAGE", "1"), 300.0)
        .gauge(&of("DCGM_FI_DEV_POWER_USAGE", "2"), 300.0)
        .gauge("DCGM_FI_DEV_POWER_USAGE_INSTANT{Hostname=\"n\",UUID=\"GPU-a\"}", 310.0)
        .report();
    close(reported.watts("n", "gpu"), 300.0);
    assert_eq!(reported.status("DCGM_FI_DEV_POWER_USAGE_INSTANT"), ["replica"]);
}

/// What cannot be used says why.
#[test]
fn alumets_differences_are_no_counter() {
    let reported = Case::default()
        .gauge(
            "rapl_consumed_energy_J_alumet{instance=\"n:9091\",domain=\"package\",resource_id=\"0\"}",
            75.0,
        )
        .counter("node_rapl_package_joules_total{instance=\"n:9100\",index=\"0\"}", 100.0, 1.0)
        .report();
    close(reported.watts("n", "cpu"), 100.0);
    assert!(reported.status("rapl_consumed_energy_J_alumet")[0].contains("last reading"));
}

/// A row for all metrics whose names fit, with the device in the name.
#[test]
fn a_pattern_reads_every_metric_that_fits_it() {
    let config = "[[meter]]\nmetric = \"socket(\\\\d+)_consumed_joules_total\"\nexporter = \"own\"\ncomponent = \"cpu\"\n\
                  quantity = \"energy\"\nscale = 1.0\n\
                  device = [{ label = \"__name__\", pattern = \"socket(\\\\d+)_.*\" }]\n";
    let reported = Case::default()
        .counter("socket0_consumed_joules_total{instance=\"n:9100\"}", 120.0, 1.0)
        .counter("socket1_consumed_joules_total{instance=\"n:9100\"}", 90.0, 1.0)
        .counter("socketx_consumed_joules_total{instance=\"n:9100\"}", 500.0, 1.0)
        .config(config)
        .report();
    close(reported.watts("n", "cpu"), 210.0);
    // What no row reads is not listed as a meter.
    assert!(reported.status("socketx_consumed_joules_total").is_empty());
}

/// A site's own meter, by its configuration alone.
#[test]
fn a_site_adds_a_meter_without_building() {
    let row =
        |name: &str, rest: &str| format!("[[meter]]\nmetric = \"{name}\"\nexporter = \"busbar\"\n{rest}\n");
    let config = row(
        "busbar_tap_kilowatts",
        "component = \"node\"\nquantity = \"power\"\nscale = 1000.0\nnode = \"feeds\"\nwhere = { phase = \"all\" }",
    ) + &row(
        "grace_joules",
        "component = \"cpu\"\nquantity = \"energy\"\nscale = 1.0\nresets = true",
    );
    let reported = Case::default()
        .gauge("busbar_tap_kilowatts{instance=\"bb1\",feeds=\"n.cluster.example\",phase=\"all\"}", 0.6)
        .gauge("busbar_tap_kilowatts{instance=\"bb1\",feeds=\"n.cluster.example\",phase=\"1\"}", 0.2)
        .counter("grace_joules{instance=\"n:9100\"}", 250.0, 1.0)
        .config(&config)
        .report();
    close(reported.watts("n", "cpu"), 250.0);
    close(reported.watts("n", "other"), 350.0);
    assert!(reported.status("busbar_tap_kilowatts").iter().any(|status| status.contains("no row")));
}
