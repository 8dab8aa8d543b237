//! Power models and hardware tables against published figures.

use proptest::prelude::*;
use wattledger::power::{DeviceKind, MemoryModel, Rating, UtilisationModel, find_cpu, find_gpu, p_max};
use wattledger::units::{Seconds, Watts};

fn close(left: f64, right: f64) -> bool {
    (left - right).abs() <= 1e-12 * right.abs().max(1.0)
}

#[test]
fn the_curve_meets_its_four_points_and_is_straight_between() {
    let at = |utilisation| {
        UtilisationModel::TdpCurve.power(utilisation, &Rating::cpu(Watts(100.0))).unwrap().value()
    };
    for (utilisation, watts) in
        [(0.0, 12.0), (0.1, 32.0), (0.5, 75.0), (1.0, 102.0), (0.3, 53.5), (0.75, 88.5)]
    {
        assert!(close(at(utilisation), watts), "{utilisation}: {}", at(utilisation));
    }
    assert_eq!(at(-0.5), at(0.0));
    assert_eq!(at(1.7), at(1.0));
    assert!(at(f64::NAN).is_nan());
}

/// Impact Framework, `manifests/outputs/pipelines/teads-curve.yaml`: TDP 100 W,
/// 360 s, 2 of 8 virtual CPUs.
#[test]
fn the_curve_agrees_with_the_impact_framework() {
    let published = [(0.01, 0.000_349_999_999_999_999_94), (0.1, 0.0008), (0.5, 0.001_875), (1.0, 0.002_55)];
    for (utilisation, kwh) in published {
        let power = UtilisationModel::TdpCurve.power(utilisation, &Rating::cpu(Watts(100.0))).unwrap();
        let ours = power.energy(Seconds(360.0)).to_kwh().value() * 2.0 / 8.0;
        assert!((ours - kwh).abs() < 1e-15, "{utilisation}: {ours} and {kwh}");
    }
}

#[test]
fn the_other_models_follow_their_authors() {
    let half = |model: UtilisationModel| model.power(0.5, &Rating::cpu(Watts(100.0))).unwrap().value();
    assert_eq!(half(UtilisationModel::TdpLinear), 50.0);
    assert_eq!(UtilisationModel::TdpLinear.power(0.0, &Rating::cpu(Watts(205.0))), Some(Watts::ZERO));
    // 10 + 90 × 0.125.
    assert!(close(half(UtilisationModel::CodeCarbonCubic), 21.25));
}

#[test]
fn models_are_chosen_by_name_and_printed_with_their_version() {
    assert_eq!(UtilisationModel::default().to_string(), "tdp-curve/1");
    for model in UtilisationModel::ALL {
        assert_eq!(model.name().parse(), Ok(model));
        assert_eq!(model.to_string().parse(), Ok(model));
    }
    for wrong in ["", "TDP", "tdp-curve/2", "linear"] {
        let error = wrong.parse::<UtilisationModel>().unwrap_err();
        assert!(error.to_string().contains("tdp-linear"), "{error}");
    }
}

/// Green Algorithms for clusters, its own example: 6760 MB for 4:00:25 at PUE
/// 1.67 is 0.010089886805555556 kWh before the PUE.
#[test]
fn memory_agrees_with_green_algorithms() {
    assert!(close(MemoryModel::default().power(128e9).value(), 47.68));
    let kwh = MemoryModel::default().power(6760e6).energy(Seconds(4.0 * 3600.0 + 25.0)).to_kwh().value();
    assert!((kwh - 0.010_089_886_805_555_556).abs() < 1e-15, "{kwh}");
    assert_eq!(MemoryModel::PerGigabyte(0.5).power(2e9), Watts(1.0));
}

#[test]
fn no_device_exceeds_one_and_a_half_times_its_tdp() {
    assert_eq!(p_max(Some(Watts(150.0)), DeviceKind::CpuSocket), Watts(225.0));
    assert_eq!(p_max(Some(Watts(400.0)), DeviceKind::Gpu), Watts(600.0));
    assert_eq!(p_max(None, DeviceKind::CpuSocket), Watts(600.0));
    assert_eq!(p_max(None, DeviceKind::Gpu), Watts(1200.0));
}

/// Names as the kernel prints them; TDP, cores and threads from Intel's ARK and
/// AMD's product pages.
#[test]
fn processors_are_found_by_what_the_kernel_calls_them() {
    for (name, watts, cores, threads) in [
        ("Intel(R) Xeon(R) Gold 6248 CPU @ 2.50GHz", 150.0, 20, 40),
        ("Intel(R) Xeon(R) Gold 6248R CPU @ 3.00GHz", 205.0, 24, 48),
        ("Intel(R) Xeon(R) CPU E5-2680 v4 @ 2.40GHz", 120.0, 14, 28),
        ("Intel(R) Xeon(R) CPU E5-2670 0 @ 2.60GHz", 115.0, 8, 16),
        ("Intel(R) Xeon(R) CPU E5-2603 v3 @ 1.60GHz", 85.0, 6, 6),
        ("Intel(R) Xeon(R) Platinum 8380 CPU @ 2.30GHz", 270.0, 40, 80),
        ("Intel(R) Xeon(R) Platinum 8480+", 350.0, 56, 112),
        ("INTEL(R) XEON(R) PLATINUM 8580", 350.0, 60, 120),
        ("Intel(R) Xeon(R) CPU Max 9480", 350.0, 56, 112),
        ("Intel(R) Xeon(R) 6980P", 500.0, 128, 256),
        ("Intel(R) Xeon(R) 6780E", 330.0, 144, 144),
        ("AMD EPYC 7351 16-Core Processor", 170.0, 16, 32),
        ("AMD EPYC 7742 64-Core Processor", 225.0, 64, 128),
        ("AMD EPYC 7763 64-Core Processor", 280.0, 64, 128),
        ("AMD EPYC 9654 96-Core Processor", 360.0, 96, 192),
        ("AMD Ryzen Threadripper PRO 5995WX 64-Cores", 280.0, 64, 128),
        ("AMD Ryzen 9 5950X 16-Core Processor            ", 105.0, 16, 32),
        ("AMD Opteron(tm) Processor 6276                 ", 115.0, 16, 16),
        ("Ampere(R) Altra(R) Processor Q80-30 CPU @ 3.0GHz", 210.0, 80, 80),
    ] {
        let cpu = find_cpu(name).unwrap_or_else(|| panic!("{name}"));
        assert_eq!(cpu.tdp, Watts(watts), "{name}");
        assert_eq!((cpu.cores, cpu.threads), (Some(cores), Some(threads)), "{name}");
        assert_eq!(cpu.score, 1.0, "{name}");
    }
    for (name, watts) in [
        ("Intel(R) Xeon(R) CPU           X5650  @ 2.67GHz", 95.0),
        ("Intel(R) Core(TM) i7-8700K CPU @ 3.70GHz", 95.0),
        ("11th Gen Intel(R) Core(TM) i7-1165G7 @ 2.80GHz", 28.0),
        ("Intel(R) Core(TM) i9-14901KE", 125.0),
        ("Intel(R) Core(TM)2 Duo CPU     E8400  @ 3.00GHz", 65.0),
        ("AMD EPYC 7R13 Processor", 225.0),
    ] {
        assert_eq!(find_cpu(name).unwrap_or_else(|| panic!("{name}")).tdp, Watts(watts), "{name}");
    }
}

#[test]
fn a_name_that_is_no_model_matches_nothing() {
    for name in [
        "",
        "QEMU Virtual CPU version 2.5+",
        "Common KVM processor",
        "Intel(R) Xeon(R) Processor @ 2.60GHz",
        "Intel(R) Xeon(R) CPU @ 2.20GHz",
        "Intel Xeon Processor (Skylake, IBRS)",
        "Intel(R) Xeon(R)",
        "AMD EPYC Processor",
        "AMD EPYC-Rome Processor",
        "AMD EPYC-Milan Processor",
        "Intel(R) Xeon(R) Gold 6248X CPU @ 2.50GHz",
        "6248",
        "4280",
    ] {
        assert_eq!(find_cpu(name), None, "{name}");
    }
    for name in
        ["", "NVIDIA", "NVIDIA A100", "NVIDIA GeForce RTX 4090 Laptop GPU", "Tesla", "A100-PCIE", "RTX 6000"]
    {
        assert_eq!(find_gpu(name), None, "{name}");
    }
}

/// Names as NVML, ROCm and Level Zero print them; power from the makers' data
/// sheets, as `data/gpu_tdp.csv` cites them.
#[test]
fn gpus_are_found_by_what_the_driver_calls_them() {
    for (name, watts, score) in [
        ("NVIDIA A100-SXM4-80GB", 400.0, 1.0),
        ("A100-SXM4-40GB", 400.0, 1.0),
        ("NVIDIA A100-PCIE-40GB", 250.0, 1.0),
        ("NVIDIA A100 80GB PCIe", 300.0, 1.0),
        ("NVIDIA H100 80GB HBM3", 700.0, 1.0),
        ("NVIDIA H100 PCIe", 350.0, 1.0),
        ("NVIDIA H100 NVL", 400.0, 1.0),
        ("Tesla T4", 70.0, 1.0),
        ("NVIDIA L4", 72.0, 1.0),
        ("NVIDIA L40S", 350.0, 1.0),
        ("Tesla V100-SXM2-32GB", 300.0, 1.0),
        ("Tesla V100-PCIE-16GB", 250.0, 1.0),
        ("NVIDIA GeForce RTX 4090", 450.0, 1.0),
        ("Tesla K80", 150.0, 1.0),
        ("AMD Instinct MI250X", 500.0, 1.0),
        ("Intel(R) Data Center GPU Max 1550", 600.0, 1.0),
        // Any size of memory of a model whose sizes are rated alike.
        ("NVIDIA A100-SXM4", 400.0, 0.9),
        ("NVIDIA A40-48GB", 300.0, 0.9),
    ] {
        let gpu = find_gpu(name).unwrap_or_else(|| panic!("{name}"));
        assert_eq!((gpu.tdp, gpu.score), (Watts(watts), score), "{name}");
    }
}

proptest! {
    #[test]
    fn no_name_breaks_the_look_up(name in "\\PC{0,60}") {
        let _ = find_cpu(&name);
        let _ = find_gpu(&name);
    }

    #[test]
    fn more_work_never_takes_less_power(low in 0.0..1.0_f64, more in 0.0..1.0_f64, tdp in 1.0..1000.0_f64) {
        let high = (low + more).min(1.0);
        for model in UtilisationModel::ALL {
            let rating = Rating::cpu(Watts(tdp));
            let at = |utilisation| model.power(utilisation, &rating);
            let (Some(at_low), Some(at_high)) = (at(low), at(high)) else {
                prop_assert_eq!(model, UtilisationModel::Ccf);
                continue;
            };
            prop_assert!(at_low.value() <= at_high.value() * (1.0 + 1e-12));
            prop_assert!(at_low >= Watts::ZERO && at_high.value() <= p_max(Some(Watts(tdp)), DeviceKind::CpuSocket).value().max(1.0));
        }
    }
}
