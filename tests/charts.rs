//! Charts are PNG files of the promised size whose pixels say what the numbers say.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests may fail loudly")]

use proptest::prelude::*;
use wattledger::report::chart::{
    BarItem, Bars, Chart, Layer, LayerKind, Overlay, SegmentStyle, StackedTime, Text, Theme, scale_for,
};
use wattledger::time::{HOUR_MS, Window};

/// Colours of the palette of Okabe and Ito, from their page, and the grey of muted layers.
const BLUE: [u8; 3] = [0, 114, 178];
const ORANGE: [u8; 3] = [230, 159, 0];
const GREY: [u8; 3] = [189, 189, 189];
const NO_DATA: [u8; 3] = [236; 3];
const INK: [u8; 3] = [26; 3];

/// 13 November 2026, 00:00 UTC.
const START_MS: i64 = 1_794_528_000_000;

struct Picture {
    width: usize,
    height: usize,
    pixels: Vec<u8>,
}

impl Picture {
    fn decode(file: &[u8]) -> Self {
        let mut decoder = png::Decoder::new(std::io::Cursor::new(file));
        decoder.set_transformations(png::Transformations::EXPAND);
        let mut reader = decoder.read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        assert_eq!((info.color_type, info.bit_depth), (png::ColorType::Rgb, png::BitDepth::Eight));
        let dots = reader.info().pixel_dims.unwrap();
        // 96 dots per inch of 25.4 mm are 3779.5 per metre.
        assert_eq!((dots.xppu, dots.yppu, dots.unit), (3780, 3780, png::Unit::Meter));
        Self { width: info.width as usize, height: info.height as usize, pixels }
    }

    /// A chart on white with a pixel for each logical pixel.
    fn of(chart: &impl Chart) -> Self {
        Self::decode(&chart.draw(Theme::Light).unwrap().png_scaled(1.0).unwrap())
    }

    fn at(&self, x: usize, y: usize) -> [u8; 3] {
        let offset = (y * self.width + x) * 3;
        self.pixels[offset..offset + 3].try_into().unwrap()
    }

    fn points(&self) -> impl Iterator<Item = (usize, usize, [u8; 3])> {
        (0..self.height).flat_map(move |y| (0..self.width).map(move |x| (x, y, self.at(x, y))))
    }

    /// Pixels of exactly this colour in the chart proper: not in the legend, which lies above `y` = 100.
    fn count(&self, colour: [u8; 3]) -> f64 {
        let (pixels, _) = self.pixels[100 * self.width * 3..].as_chunks::<3>();
        pixels.iter().filter(|pixel| **pixel == colour).count() as f64
    }

    fn assert_margins_are_white(&self) {
        let white = |part: &[u8]| part.iter().all(|channel| *channel == 255);
        for (y, row) in self.pixels.chunks_exact(self.width * 3).enumerate() {
            let (left, rest) = row.split_at(20 * 3);
            let (inner, right) = rest.split_at(rest.len() - 20 * 3);
            assert!(white(left) && white(right), "drawn on the margin in row {y}");
            let edge = y < 14 || y >= self.height - 14;
            assert!(!edge || white(inner), "drawn on the margin in row {y}");
        }
    }
}

fn text() -> Text {
    Text {
        title: "Power by component, 13 November 2026".into(),
        subtitle: "Simulated".into(),
        footnote: "Small print".into(),
        alt: String::new(),
    }
}

fn hours(count: i64) -> Vec<Window> {
    (0..count).map(|hour| Window::new(START_MS + hour * HOUR_MS, START_MS + (hour + 1) * HOUR_MS)).collect()
}

fn layer(name: &str, kind: LayerKind, values: Vec<f64>) -> Layer {
    Layer { name: name.into(), kind, values }
}

/// Sums over the hours: cpu 40, gpu 120, idle 80.
fn power() -> StackedTime {
    StackedTime {
        text: text(),
        buckets: hours(4),
        layers: vec![
            layer("cpu", LayerKind::Normal, vec![10.0, 10.0, 0.0, 20.0]),
            layer("gpu", LayerKind::Normal, vec![30.0, 0.0, 50.0, 40.0]),
            layer("idle", LayerKind::Muted, vec![20.0, 20.0, 20.0, 20.0]),
        ],
        y_label: "Mean power (kW)".into(),
        overlay: None,
    }
}

fn energy() -> Bars {
    let style = |name: &str, muted| SegmentStyle { name: name.into(), muted };
    let item = |name: &str, segments: &[f64]| BarItem { name: name.into(), segments: segments.to_vec() };
    // Sums: runs 90, idle 60, unattributed 30.
    Bars {
        text: text(),
        items: vec![
            item("n1", &[40.0, 30.0, 10.0]),
            item("n2", &[50.0, 0.0, 20.0]),
            item("n3", &[0.0, 30.0, 0.0]),
        ],
        segments: vec![style("runs", false), style("idle", true), style("unattributed", false)],
        x_label: "Energy (kWh)".into(),
    }
}

/// The areas of these colours are to each other as the sums are.
fn assert_shares(picture: &Picture, expected: &[([u8; 3], f64)]) {
    let all: f64 = expected.iter().map(|(colour, _)| picture.count(*colour)).sum();
    let sum: f64 = expected.iter().map(|(_, sum)| sum).sum();
    assert!(all > 10_000.0, "only {all} pixels");
    for (colour, part) in expected {
        let (share, right) = (picture.count(*colour) / all, part / sum);
        assert!((share - right).abs() < 0.02 * right, "{colour:?} covers {share}, not {right}");
    }
}

#[test]
fn stacked_areas_are_as_large_as_the_sums_of_their_layers() {
    let picture = Picture::of(&power());
    assert_eq!((picture.width, picture.height), (1280, 720));
    assert_shares(&picture, &[(BLUE, 40.0), (ORANGE, 120.0), (GREY, 80.0)]);
    picture.assert_margins_are_white();
}

#[test]
fn a_year_of_hours_has_areas_as_large_as_the_means() {
    let mut chart = power();
    chart.buckets = hours(8760);
    // Means over each day: 5.5 and 12, with swings that no pixel can show.
    chart.layers = vec![
        layer("cpu", LayerKind::Normal, (0..8760).map(|hour| f64::from(hour % 24 % 12)).collect()),
        layer("gpu", LayerKind::Normal, (0..8760).map(|hour| f64::from(hour % 2) * 24.0).collect()),
    ];
    assert_shares(&Picture::of(&chart), &[(BLUE, 5.5), (ORANGE, 12.0)]);
}

#[test]
fn bars_are_as_long_as_their_segments() {
    let picture = Picture::of(&energy());
    assert_eq!(picture.width, 1280);
    assert_shares(&picture, &[(BLUE, 90.0), (GREY, 60.0), (ORANGE, 30.0)]);
    picture.assert_margins_are_white();
}

#[test]
fn the_height_of_bar_charts_follows_the_bars_up_to_a_limit() {
    let height = |count: usize| {
        let mut chart = energy();
        chart.items =
            (0..count).map(|index| BarItem { name: format!("n{index}"), segments: vec![1.0; 3] }).collect();
        let picture = Picture::of(&chart);
        picture.assert_margins_are_white();
        // 1 : 1 : 1, however thin the bars are: at more than one a pixel no pixel has one colour alone.
        if count <= 200 {
            assert_shares(&picture, &[(BLUE, 1.0), (GREY, 1.0), (ORANGE, 1.0)]);
        }
        picture.height
    };
    let heights = [1, 5, 25, 60, 200, 3000].map(height);
    assert!(heights.is_sorted(), "{heights:?}");
    assert_eq!((heights[2], heights[4], heights[5]), (720, 1600, 1600), "{heights:?}");
}

#[test]
fn empty_input_draws_a_chart_that_says_so() {
    let nothing = StackedTime { text: text(), ..StackedTime::default() };
    let only_nan = StackedTime {
        text: text(),
        buckets: hours(3),
        layers: vec![layer("cpu", LayerKind::Normal, vec![f64::NAN; 3])],
        ..StackedTime::default()
    };
    let no_bars = Bars { text: text(), ..Bars::default() };
    let blank = StackedTime::default();
    for (picture, words) in [
        (Picture::of(&nothing), true),
        (Picture::of(&only_nan), true),
        (Picture::of(&no_bars), true),
        (Picture::of(&blank), false),
    ] {
        picture.assert_margins_are_white();
        assert!(picture.count(NO_DATA) > 0.5 * (picture.width * (picture.height - 200)) as f64);
        // Dark pixels of the message in the middle, on the shade; and of the title above where there is one.
        let middle = |(x, y, pixel): &(usize, usize, [u8; 3])| {
            (440..840).contains(x) && y.abs_diff(picture.height / 2) < 60 && pixel[0] < 120
        };
        assert!(picture.points().filter(middle).count() > 300, "no words");
        let title = picture.points().filter(|(_, y, pixel)| *y < 60 && *pixel == INK).count();
        assert_eq!(title > 300, words);
    }
}

#[test]
fn missing_values_take_no_area_and_missing_times_are_shaded() {
    let mut chart = power();
    // Hour 1 is unknown altogether, in hour 2 infinity and a negative value count as nothing.
    for layer in &mut chart.layers {
        layer.values[1] = f64::NAN;
    }
    chart.layers[1].values[2] = f64::INFINITY;
    chart.layers[2].values[2] = -5.0;
    chart.layers[0].values[2] = 7.0;
    let picture = Picture::of(&chart);
    // cpu 10 + 7 + 20, gpu 30 + 40, idle 20 + 20.
    assert_shares(&picture, &[(BLUE, 37.0), (ORANGE, 70.0), (GREY, 40.0)]);
    // A quarter of a plot of about 1170 × 500 pixels.
    let shaded = picture.count(NO_DATA);
    assert!((0.2..0.3).contains(&(shaded / (1170.0 * 500.0))), "{shaded}");
}

#[test]
fn the_line_lies_at_its_value_on_the_right_axis_and_has_gaps() {
    let mut chart = power();
    chart.layers.clear();
    chart.layers.push(layer("cpu", LayerKind::Normal, vec![100.0; 4]));
    // The left axis ends at 100 in five steps; 300 of an axis to 500 (the roundest five steps above 401) is 60 %.
    let values = vec![Some(300.0), None, Some(401.0), Some(f64::NAN)];
    chart.overlay = Some(Overlay { name: "intensity".into(), values, y_label: "gCO₂e/kWh".into() });
    let picture = Picture::of(&chart);
    let plot: Vec<(usize, usize)> = picture
        .points()
        .filter(|(_, _, pixel)| *pixel == BLUE)
        .map(|(x, y, _)| (x, y))
        .filter(|(_, y)| *y > 100)
        .collect();
    let (left, right) =
        (plot.iter().map(|(x, _)| *x).min().unwrap(), plot.iter().map(|(x, _)| *x).max().unwrap());
    let (top, bottom) =
        (plot.iter().map(|(_, y)| *y).min().unwrap(), plot.iter().map(|(_, y)| *y).max().unwrap());
    let line_at = |hour: f64| -> Vec<usize> {
        let x = left + ((right - left) as f64 * hour / 4.0) as usize;
        (top..=bottom).filter(|y| picture.at(x, *y) == INK).collect()
    };
    let expected = bottom as f64 - 0.6 * (bottom - top) as f64;
    let found = line_at(0.5);
    assert!(
        !found.is_empty() && found.iter().all(|y| (*y as f64 - expected).abs() < 3.0),
        "{found:?} {expected}"
    );
    let expected = bottom as f64 - 0.802 * (bottom - top) as f64;
    let found = line_at(2.5);
    assert!(
        !found.is_empty() && found.iter().all(|y| (*y as f64 - expected).abs() < 3.0),
        "{found:?} {expected}"
    );
    assert!(line_at(1.5).is_empty() && line_at(3.5).is_empty());
}

#[test]
fn text_that_is_too_long_stays_inside() {
    let long = "ein sehr langes Wort mit Ümläuten, 東京, и кириллица ".repeat(40);
    let unbroken = "x".repeat(5000);
    for words in [long, unbroken] {
        let text = Text {
            title: words.clone(),
            subtitle: words.clone(),
            footnote: words.clone(),
            alt: words.clone(),
        };
        let mut time = power();
        time.text = text.clone();
        time.y_label = words.clone();
        time.overlay =
            Some(Overlay { name: words.clone(), values: vec![Some(1.0); 4], y_label: words.clone() });
        time.layers = (0..40).map(|_| layer(&words, LayerKind::Normal, vec![1.0; 4])).collect();
        Picture::of(&time).assert_margins_are_white();
        let mut bar = energy();
        bar.text = text;
        bar.x_label = words.clone();
        bar.segments.iter_mut().for_each(|segment| segment.name = words.clone());
        bar.items.iter_mut().for_each(|item| item.name = words.clone());
        Picture::of(&bar).assert_margins_are_white();
    }
}

#[test]
fn the_largest_unit_not_above_the_value_is_chosen() {
    let units = [("W", 1.0), ("kW", 1e3), ("MW", 1e6)];
    for (max, unit) in [(0.0, "W"), (999.0, "W"), (1000.0, "kW"), (2.5e6, "MW"), (f64::NAN, "W")] {
        assert_eq!(scale_for(max, &units).0, unit);
    }
    assert_eq!(scale_for(5.0, &[]), ("", 1.0));
}

fn any_value() -> impl Strategy<Value = f64> {
    prop_oneof![any::<f64>(), 0.0_f64..1e3, Just(f64::NAN), Just(f64::INFINITY), Just(f64::MAX), Just(5e-324)]
}

fn any_window() -> impl Strategy<Value = Window> {
    let any = (any::<i64>(), any::<i64>()).prop_map(|(start, end)| Window::new(start, end));
    let usual = (0_i64..5000).prop_map(|hour| Window::new(hour * HOUR_MS, (hour + 1) * HOUR_MS));
    let wide = (-60_000_000_000_000_i64..250_000_000_000_000, 1_i64..1_000_000_000_000_000)
        .prop_map(|(start, length)| Window::new(start, start + length));
    prop_oneof![1 => any, 6 => usual, 2 => wide]
}

proptest! {
    // Each case draws and decodes two pictures.
    #![proptest_config(ProptestConfig { cases: 16, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_numbers_and_no_words_make_it_fail(
        buckets in proptest::collection::vec(any_window(), 0..30),
        values in proptest::collection::vec(proptest::collection::vec(any_value(), 0..30), 0..5),
        line in proptest::option::of(proptest::collection::vec(proptest::option::of(any_value()), 0..30)),
        words in any::<String>(),
    ) {
        let time = StackedTime {
            text: Text { title: words.clone(), ..text() },
            buckets,
            layers: values.iter().map(|values| layer(&words, LayerKind::Normal, values.clone())).collect(),
            y_label: words.clone(),
            overlay: line.map(|values| Overlay { name: words.clone(), values, y_label: words.clone() }),
        };
        let bar = Bars {
            text: Text { title: words.clone(), ..text() },
            segments: vec![SegmentStyle { name: words.clone(), muted: false }; values.len().min(3)],
            items: values.iter().map(|values| BarItem { name: words.clone(), segments: values.clone() }).collect(),
            x_label: words,
        };
        Picture::of(&time).assert_margins_are_white();
        Picture::of(&bar).assert_margins_are_white();
    }
}
