//! Draws every kind of chart with easy and with nasty input, to be looked at: a folder, a theme, and pixels for each logical pixel.
//!
//! ```text
//! cargo run --release --example chart_gallery -- target/gallery light 1
//! ```
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "an example for developers"
)]

use std::f64::consts::TAU;
use std::path::PathBuf;
use std::time::Instant;
use wattledger::report::chart::{
    BarItem, Bars, Calendar, CalendarDay, Chart, Coverage, CoverageRow, Layer, LayerKind, Overlay,
    PeriodGroup, Periods, Ring, Rings, Scatter, SegmentStyle, StackedTime, Text, Theme,
};
use wattledger::time::{DAY_MS, HOUR_MS, Window};

/// 13 November 2026, 00:00 UTC.
const START_MS: i64 = 1_794_528_000_000;

fn text(title: &str) -> Text {
    Text {
        title: title.into(),
        subtitle: "13 to 20 November 2026 · cluster “aurora” · SIMULATED".into(),
        footnote: "Electricity only, PUE 1.25. Carbon intensity: hourly, location-based. Idle: nodes that no run held.".into(),
        alt: format!("{title}, drawn to be looked at."),
    }
}

fn noise(seed: usize) -> f64 {
    let mut x = (seed as u64).wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    x ^= x >> 29;
    x = x.wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x ^= x >> 32;
    (x % 10_000) as f64 / 10_000.0
}

fn power(title: &str, hours: usize, step_ms: i64) -> StackedTime {
    let buckets: Vec<Window> = (0..hours as i64)
        .map(|hour| Window::new(START_MS + hour * step_ms, START_MS + (hour + 1) * step_ms))
        .collect();
    let day = |hour: usize| (hour as f64 / 24.0 * TAU).sin();
    let layer = |name: &str, kind, level: f64, swing: f64, seed: usize| Layer {
        name: name.into(),
        kind,
        values: (0..hours)
            .map(|hour| level * (1.0 + swing * (0.5 * day(hour) + noise(hour / 5 * 31 + seed) - 0.5)))
            .collect(),
    };
    let line = (0..hours)
        .map(|hour| (hour % 61 < 52).then(|| 310.0 + 110.0 * day(hour + 7) + 25.0 * noise(hour * 3)))
        .collect();
    StackedTime {
        text: text(title),
        buckets,
        layers: vec![
            layer("cpu", LayerKind::Normal, 21.0, 0.5, 1),
            layer("dram", LayerKind::Normal, 6.0, 0.2, 2),
            layer("gpu", LayerKind::Normal, 38.0, 1.1, 3),
            layer("other", LayerKind::Muted, 9.0, 0.1, 4),
        ],
        y_label: "Mean power (kW)".into(),
        overlay: Some(Overlay {
            name: "carbon intensity".into(),
            values: line,
            y_label: "Carbon intensity (gCO₂e/kWh)".into(),
        }),
    }
}

fn emissions(title: &str, hours: usize) -> StackedTime {
    let mut chart = power(title, hours, HOUR_MS);
    chart.overlay = None;
    chart.y_label = "Emissions (kgCO₂e per hour)".into();
    for (layer, (name, kind)) in chart.layers.iter_mut().zip([
        ("runs", LayerKind::Normal),
        ("infrastructure", LayerKind::Normal),
        ("unattributed", LayerKind::Normal),
        ("idle", LayerKind::Muted),
    ]) {
        layer.name = name.into();
        layer.kind = kind;
    }
    chart
}

fn users(title: &str, count: usize) -> Bars {
    Bars {
        text: text(title),
        items: (0..count)
            .map(|index| BarItem {
                name: format!("user{index:03}"),
                segments: vec![420.0 / (1.0 + index as f64) + 3.0 * noise(index)],
            })
            .collect(),
        segments: vec![SegmentStyle { name: "emissions".into(), muted: false }],
        x_label: "Emissions (kgCO₂e)".into(),
    }
}

fn nodes(title: &str, count: usize) -> Bars {
    let style = |name: &str, muted| SegmentStyle { name: name.into(), muted };
    Bars {
        text: text(title),
        items: (0..count)
            .map(|index| BarItem {
                name: format!("node{index:03}"),
                segments: vec![60.0 * noise(index) + 20.0, 30.0 * noise(index + 7), 4.0 * noise(index + 9)],
            })
            .collect(),
        segments: vec![style("used by runs", false), style("idle", true), style("unattributed", false)],
        x_label: "Energy (kWh)".into(),
    }
}

fn calendar(title: &str, days: usize) -> Calendar {
    let day = |day: usize| {
        let mut hours = [None; 24];
        for (hour, cell) in hours.iter_mut().enumerate() {
            let level = 1.2 - (hour as f64 / 24.0 * TAU).cos() - 0.5 * f64::from(u8::from(day % 7 > 4));
            *cell = (day % 29 != 11 || hour < 9).then(|| 40.0 * (level.max(0.1) + noise(day * 24 + hour)));
        }
        CalendarDay { start_ms: START_MS + day as i64 * DAY_MS, hours }
    };
    Calendar {
        text: text(title),
        days: (0..days).map(day).collect(),
        quantity: "energy in an hour (kWh)".into(),
    }
}

fn scatter(title: &str, count: usize) -> Scatter {
    let normal = |seed: usize| (0..6).map(|part| noise(seed * 7 + part)).sum::<f64>() - 3.0;
    Scatter {
        text: text(title),
        points: (0..count)
            .map(|run| {
                (10_f64.powf(normal(run) * 1.3), (260.0 + 130.0 * normal(run + 77_777)).clamp(30.0, 700.0))
            })
            .collect(),
        of: "runs".into(),
        x_label: "energy of the run (kWh)".into(),
        y_label: "mean power of each GPU held (W)".into(),
    }
}

fn coverage(title: &str, nodes: usize, hours: usize) -> Coverage {
    let known = |node: usize, hour: usize| if noise(node * 31 + hour / 9) < 0.06 { noise(hour) } else { 1.0 };
    let row = |node: usize| CoverageRow {
        name: format!("node{node:03}"),
        shares: (0..hours)
            .map(|hour| {
                let parts = if node % 5 == 4 { [0.0, 0.7, 0.3] } else { [0.6, 0.1, 0.3] };
                Some(parts.map(|part| part * known(node, hour)).to_vec())
            })
            .collect(),
    };
    Coverage {
        text: text(title),
        buckets: power(title, hours, HOUR_MS).buckets,
        methods: ["measured:counter", "measured:gauge", "modelled:constant"].map(str::to_owned).to_vec(),
        rows: (0..nodes).map(row).collect(),
    }
}

fn periods(title: &str, groups: usize, periods: usize) -> Periods {
    let group = |group: usize| PeriodGroup {
        name: format!("user{group:03}"),
        values: (0..periods)
            .map(|period| {
                (group + period != 4)
                    .then(|| 420.0 / (1.0 + group as f64) * (0.6 + 0.6 * noise(group * 9 + period)))
            })
            .collect(),
    };
    Periods {
        text: text(title),
        periods: (0..periods).map(|period| format!("2026-{:02}", 12 - periods + period + 1)).collect(),
        groups: (0..groups).map(group).collect(),
        x_label: "emissions (kgCO₂e)".into(),
    }
}

fn rings(title: &str, count: usize) -> Rings {
    Rings {
        text: text(title),
        rings: (0..count)
            .map(|ring| {
                let used = 30.0 + 60.0 * noise(ring + 3);
                Ring {
                    name: ["CPU", "GPU"]
                        .get(ring)
                        .map_or_else(|| format!("ring {ring}"), |name| (*name).to_owned()),
                    figure: format!("{used:.0} %"),
                    caption: "of 812 kWh used by runs".into(),
                    parts: vec![used, 95.0 - used, 5.0],
                }
            })
            .collect(),
        segments: [("runs", false), ("idle", true), ("infrastructure", false)]
            .map(|(name, muted)| SegmentStyle { name: name.into(), muted })
            .to_vec(),
    }
}

const NASTY: [&str; 7] = [
    "a-very-long-account-name-of-a-project-that-nobody-dares-to-abbreviate-0017",
    "Jürgen Großmann – Łódź, Київ, Αθήνα",
    "東京大学\nline two 🔥🚀",
    "<script>alert(\"x\")</script>&amp;",
    "שלום \u{202e}gnp.exe مرحبا",
    "",
    "\u{0}\u{1b}[31mred",
];

fn nasty(index: usize) -> String {
    NASTY[index % NASTY.len()].into()
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().unwrap_or_else(|| "target/gallery".into()));
    let theme = if arguments.next().as_deref() == Some("dark") { Theme::Dark } else { Theme::Light };
    let scale: f32 = arguments.next().map_or(2.0, |scale| scale.parse().unwrap());
    std::fs::create_dir_all(&folder).unwrap();
    let save = |name: &str, chart: &dyn Chart| {
        let began = Instant::now();
        let drawing = chart.draw(theme).unwrap();
        let drawn = began.elapsed();
        let (svg, png) = (drawing.svg(name), drawing.png_scaled(scale).unwrap());
        let (of_svg, of_png) = (svg.len() / 1000, png.len() / 1000);
        let (drawn, all) = (drawn.as_millis(), began.elapsed().as_millis());
        println!("{name}: svg {of_svg} kB, png {of_png} kB, drawn {drawn} ms, all {all} ms");
        std::fs::write(folder.join(name).with_extension("svg"), svg).unwrap();
        std::fs::write(folder.join(name).with_extension("png"), png).unwrap();
    };
    let time = |name: &str, chart: StackedTime| save(name, &chart);
    let bar = |name: &str, chart: Bars| save(name, &chart);

    time("power_24h", power("Power by component, 13 November 2026", 24, HOUR_MS));
    time("power_7d", power("Power by component, 13–20 November 2026", 168, HOUR_MS));
    time("power_31d", power("Power by component, 31 days from 13 November 2026", 744, HOUR_MS));
    time("power_year", power("Power by component, a year from 13 November 2026", 8760, HOUR_MS));
    time("power_year_days", power("Power by component, a year in days", 365, 24 * HOUR_MS));
    time("power_100k_minutes", power("100,000 minutes", 100_000, 60_000));
    time("emissions_7d", emissions("Emissions by hour, 13–20 November 2026", 168));
    time("one_bucket", power("One hour", 1, HOUR_MS));
    time("one_millisecond", power("One millisecond", 1, 1));
    time("empty", StackedTime { text: text("Power by component"), ..StackedTime::default() });

    let mut zero = emissions("All zero", 24);
    zero.layers.iter_mut().for_each(|layer| layer.values.fill(0.0));
    time("zero", zero);
    for (name, factor) in [("tiny", 1e-9), ("huge", 1e12), ("thousands", 777.0)] {
        let mut chart = power(&format!("Values × {factor:e}"), 48, HOUR_MS);
        chart.layers.iter_mut().flat_map(|layer| &mut layer.values).for_each(|value| *value *= factor);
        if let Some(overlay) = &mut chart.overlay {
            overlay.values.iter_mut().flatten().for_each(|value| *value *= factor);
        }
        time(name, chart);
    }
    let mut holes = power("NaN and infinities, buckets left out, layers too short", 168, HOUR_MS);
    for hour in 30..45 {
        holes.layers.iter_mut().for_each(|layer| layer.values[hour] = f64::NAN);
    }
    for hour in 60..70 {
        holes.layers[2].values[hour] = f64::INFINITY;
    }
    holes.layers[1].values.truncate(120);
    holes.buckets[80..90].fill(Window::new(0, 0));
    time("holes", holes);

    let mut many =
        power(&"A title that goes on and on, longer than any slide is wide. ".repeat(6), 72, HOUR_MS);
    many.text.subtitle =
        "And a subtitle that explains what nobody asked, with 東京, Ελλάδα and Київ. ".repeat(8);
    many.text.footnote = many.text.subtitle.clone();
    for index in 0..30 {
        let mut layer = many.layers[index % 3].clone();
        layer.name = format!("component with the long name number {index}, ünïcödé µ Ω");
        many.layers.push(layer);
    }
    time("many_layers", many);

    for count in [0, 1, 5, 25, 200, 500, 5000] {
        bar(&format!("users_{count}"), users("Emissions by user, 13–20 November 2026", count));
    }
    for count in [3, 40, 100, 200] {
        bar(&format!("nodes_{count}"), nodes("Used against free energy by node, 13–20 November 2026", count));
    }
    let mut odd = nodes("Odd names and values", 12);
    for (index, item) in odd.items.iter_mut().enumerate() {
        item.name = match index % 4 {
            0 => format!("a-very-long-account-name-of-a-project-that-nobody-dares-to-abbreviate-{index:04}"),
            1 => "Jürgen Großmann – Łódź, Київ, Αθήνα".into(),
            2 => "東京大学\nline two".into(),
            _ => String::new(),
        };
    }
    odd.items[2].segments = vec![f64::NAN, f64::INFINITY, -3.0];
    odd.items[3].segments = vec![0.0, 0.0, 0.0];
    odd.items[4].segments = vec![1e-7, 0.0, 0.0];
    odd.items[5].segments = vec![];
    bar("odd_bars", odd);
    let mut zero = users("All zero", 5);
    zero.items.iter_mut().for_each(|item| item.segments = vec![0.0]);
    bar("zero_bars", zero);
    let mut huge = users("Huge", 5);
    huge.items.iter_mut().for_each(|item| item.segments[0] *= 1e20);
    bar("huge_bars", huge);

    for days in [0, 1, 7, 31, 365, 1500] {
        save(&format!("calendar_{days}"), &calendar("Energy by hour and day", days));
    }
    for count in [0, 1, 60, 400, 20_000] {
        save(&format!("scatter_{count}"), &scatter("Runs by energy and power of their GPUs", count));
    }
    for (nodes, hours) in [(0, 0), (1, 1), (6, 168), (40, 744), (300, 8760)] {
        save(
            &format!("coverage_{nodes}"),
            &coverage("What is known of each node's devices, and how", nodes, hours),
        );
    }
    for (groups, count) in [(0, 2), (1, 1), (8, 2), (15, 3), (4, 12), (500, 2)] {
        save(
            &format!("periods_{groups}_{count}"),
            &periods("Emissions by user, month against month", groups, count),
        );
    }
    for count in [0, 1, 2, 8, 20] {
        save(&format!("rings_{count}"), &rings("Energy of CPUs and GPUs: used by runs and idle", count));
    }
    let mut odd = periods("Odd names", 7, 3);
    for (index, group) in odd.groups.iter_mut().enumerate() {
        group.name = nasty(index);
    }
    odd.periods = (0..3).map(nasty).collect();
    odd.text.title = NASTY.join(" ");
    save("odd_periods", &odd);
    let mut odd = coverage("Odd names", 7, 100);
    for (index, row) in odd.rows.iter_mut().enumerate() {
        row.name = nasty(index);
    }
    save("odd_coverage", &odd);
    let mut odd = rings("Odd names", 4);
    for (index, ring) in odd.rings.iter_mut().enumerate() {
        (ring.name, ring.figure, ring.caption) = (nasty(index), nasty(index + 2), nasty(index));
    }
    odd.rings[3].parts = vec![f64::NAN, 0.0];
    save("odd_rings", &odd);
}
