//! Every kind of chart, with nothing, little, much and hostile words: valid SVG, labels that stand apart, the same bytes again.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    dead_code,
    reason = "tests may fail loudly"
)]

use std::collections::BTreeSet;

use quick_xml::Reader;
use quick_xml::events::Event;
use wattledger::report::chart::{
    BarItem, Bars, Calendar, CalendarDay, Chart, Coverage, CoverageRow, Drawing, Label, Layer, LayerKind,
    Overlay, PeriodGroup, Periods, Ring, Rings, Scatter, SegmentStyle, StackedTime, Text, Theme,
};
use wattledger::time::{DAY_MS, HOUR_MS, Window};

/// 13 November 2026, 00:00 UTC.
const START_MS: i64 = 1_794_528_000_000;

/// Names that have to survive: long, without blanks, right to left, of letters that no font has, like markup, of several
/// lines, of control characters, of nothing.
const HOSTILE: [&str; 9] = [
    "a-project-name-that-nobody-dares-to-abbreviate-and-that-goes-on-and-on-and-on-and-on-and-on-and-on-and-on-and-on-and-on",
    "שלום עולם \u{202e}gnp.exe مرحبا بالعالم",
    "🔥🚀👩‍👩‍👧‍👦 東京大学計算機センター",
    "<script>alert(\"x\")</script>&amp;]]>",
    "line one\nline two\r\n\tline three",
    "\u{0}\u{7}\u{1b}[31mred\u{fffe}\u{ffff}\u{feff}\u{2028}end",
    "",
    "   ",
    "e\u{301}\u{301}\u{301}\u{301}\u{301}\u{301}ﷺ㍿",
];

fn name(index: usize, hostile: bool) -> String {
    if hostile { HOSTILE[index % HOSTILE.len()].to_owned() } else { format!("item{index:03}") }
}

fn text(hostile: bool) -> Text {
    if hostile {
        let all = HOSTILE.join(" ");
        return Text { title: all.clone(), subtitle: all.clone(), footnote: all.clone(), alt: all };
    }
    Text {
        title: "What is shown".into(),
        subtitle: "13 November 2026 · SIMULATED".into(),
        footnote: "Small print".into(),
        alt: "What is shown, in words: 5 & more.".into(),
    }
}

fn value(index: usize) -> f64 {
    (index * 7919 % 101) as f64 + 0.5
}

fn style(index: usize, hostile: bool) -> SegmentStyle {
    SegmentStyle { name: name(index, hostile), muted: index == 2 }
}

/// Every kind of chart with so many items: of time, layers and all else that can be many.
fn charts(count: usize, hostile: bool) -> Vec<(&'static str, Box<dyn Chart>)> {
    let unit = |plain: &str| if hostile { HOSTILE.join(" ") } else { plain.to_owned() };
    let hours = |count: usize| -> Vec<Window> {
        let hour = |index: usize| START_MS + index as i64 * HOUR_MS;
        (0..count).map(|index| Window::new(hour(index), hour(index + 1))).collect()
    };
    let layers = |layers: usize, buckets: usize| -> Vec<Layer> {
        (0..layers)
            .map(|layer| Layer {
                name: name(layer, hostile),
                values: (0..buckets).map(|bucket| value(bucket + layer)).collect(),
                kind: if layer == 1 { LayerKind::Muted } else { LayerKind::Normal },
            })
            .collect()
    };
    let long = StackedTime {
        text: text(hostile),
        buckets: hours(count),
        layers: layers(4, count),
        y_label: unit("mean power (kW)"),
        overlay: Some(Overlay {
            name: name(0, hostile),
            values: (0..count).map(|index| (index % 7 != 3).then(|| value(index) * 10.0)).collect(),
            y_label: unit("gCO₂e/kWh"),
        }),
    };
    let high = StackedTime { buckets: hours(6), layers: layers(count, 6), overlay: None, ..long.clone() };
    let bars = Bars {
        text: text(hostile),
        items: (0..count)
            .map(|index| BarItem {
                name: name(index, hostile),
                segments: vec![value(index), value(index + 1), 3.0],
            })
            .collect(),
        segments: (0..3).map(|segment| style(segment, hostile)).collect(),
        x_label: unit("energy (kWh)"),
    };
    let periods = |groups: usize, periods: usize| Periods {
        text: text(hostile),
        periods: (0..periods).map(|period| name(period, hostile)).collect(),
        groups: (0..groups)
            .map(|group| PeriodGroup {
                name: name(group, hostile),
                values: (0..periods).map(|period| (period != 1).then(|| value(group + period))).collect(),
            })
            .collect(),
        x_label: unit("emissions (kgCO₂e)"),
    };
    let calendar = Calendar {
        text: text(hostile),
        days: (0..count)
            .map(|day| {
                let mut hours = [None; 24];
                for (hour, cell) in hours.iter_mut().enumerate() {
                    *cell = (hour != 3).then(|| value(day + hour));
                }
                CalendarDay { start_ms: START_MS + day as i64 * DAY_MS, hours }
            })
            .collect(),
        quantity: unit("energy in an hour (kWh)"),
    };
    let scatter = Scatter {
        text: text(hostile),
        points: (0..count)
            .map(|index| (value(index) * 1e-3 * (1 + index % 5) as f64, value(index + 3)))
            .collect(),
        of: unit("runs"),
        x_label: unit("energy (kWh)"),
        y_label: unit("mean power (W)"),
    };
    let coverage = |rows: usize, buckets: usize| Coverage {
        text: text(hostile),
        buckets: hours(buckets),
        methods: (0..3).map(|method| name(method, hostile)).collect(),
        rows: (0..rows)
            .map(|row| CoverageRow {
                name: name(row, hostile),
                shares: (0..buckets)
                    .map(|bucket| {
                        let share = |method: usize| value(bucket + method + row) / 310.0;
                        (bucket % 11 != 5).then(|| (0..3).map(share).collect())
                    })
                    .collect(),
            })
            .collect(),
    };
    let rings = Rings {
        text: text(hostile),
        rings: (0..count)
            .map(|ring| Ring {
                name: name(ring, hostile),
                figure: if hostile { name(ring, true) } else { "62 %".into() },
                caption: unit("of 12.3 kWh used by runs"),
                parts: vec![value(ring), value(ring + 1)],
            })
            .collect(),
        segments: (0..2).map(|segment| style(segment, hostile)).collect(),
    };
    vec![
        ("long", Box::new(long)),
        ("high", Box::new(high)),
        ("bars", Box::new(bars)),
        ("periods", Box::new(periods(count, 2))),
        ("many_periods", Box::new(periods(3, count))),
        ("calendar", Box::new(calendar)),
        ("scatter", Box::new(scatter)),
        ("coverage", Box::new(coverage(count, 30))),
        ("long_coverage", Box::new(coverage(2, count))),
        ("rings", Box::new(rings)),
    ]
}

/// A few shapes of how long or how many, and of what names.
fn all() -> impl Iterator<Item = (String, Box<dyn Chart>)> {
    [0, 1, 5, 500].into_iter().flat_map(|count| {
        [false, true].into_iter().flat_map(move |hostile| {
            charts(count, hostile)
                .into_iter()
                .map(move |(name, chart)| (format!("{name} of {count}, hostile {hostile}"), chart))
        })
    })
}

/// The labels that share a part of the picture, and those that leave it.
fn collisions(drawing: &Drawing) -> Vec<(Label, Option<Label>)> {
    let (width, height) = drawing.size();
    let labels = drawing.labels();
    let mut found = Vec::new();
    for (index, label) in labels.iter().enumerate() {
        let is_inside = label.left >= 20.0
            && label.right <= width - 20.0
            && label.top >= 10.0
            && label.bottom <= height - 5.0;
        if !is_inside {
            found.push((label.clone(), None));
        }
        found.extend(
            labels[index + 1..]
                .iter()
                .filter(|other| label.overlaps(other))
                .map(|other| (label.clone(), Some(other.clone()))),
        );
    }
    found
}

#[test]
fn no_label_lies_on_another_or_leaves_the_picture() {
    for (name, chart) in all() {
        let drawing = chart.draw(Theme::Light).unwrap();
        let found = collisions(&drawing);
        assert!(found.is_empty(), "{name}: {found:#?}");
        assert!(drawing.labels().len() > 1, "{name} has no words");
    }
}

#[test]
fn the_check_of_labels_sees_two_on_one_place() {
    let label =
        |left: f64, top: f64| Label { text: "a".into(), left, top, right: left + 10.0, bottom: top + 10.0 };
    assert!(label(0.0, 0.0).overlaps(&label(9.0, 9.0)) && label(9.0, 9.0).overlaps(&label(0.0, 0.0)));
    assert!(!label(0.0, 0.0).overlaps(&label(10.0, 0.0)) && !label(0.0, 0.0).overlaps(&label(0.0, 10.0)));
}

/// What a reader of XML finds in an SVG: its elements, the numbers in its attributes, its ids, its texts.
#[derive(Default)]
struct Svg {
    elements: BTreeSet<String>,
    ids: Vec<String>,
    attributes: Vec<(String, String)>,
    title: String,
    description: String,
    words: Vec<String>,
}

fn parse(svg: &str) -> Svg {
    let mut reader = Reader::from_str(svg);
    reader.config_mut().expand_empty_elements = true;
    let mut found = Svg::default();
    let mut open: Vec<String> = Vec::new();
    let mut words = String::new();
    loop {
        match reader.read_event().unwrap() {
            Event::Start(element) => {
                words.clear();
                let name = String::from_utf8(element.name().as_ref().to_vec()).unwrap();
                for attribute in element.attributes() {
                    let attribute = attribute.unwrap();
                    let key = String::from_utf8(attribute.key.as_ref().to_vec()).unwrap();
                    let value = attribute.unescape_value().unwrap().into_owned();
                    if key == "id" {
                        found.ids.push(value.clone());
                    }
                    found.attributes.push((format!("{name} {key}"), value));
                }
                found.elements.insert(name.clone());
                open.push(name);
            }
            Event::Text(text) => words.push_str(&text.decode().unwrap()),
            Event::GeneralRef(reference) => {
                let entity = String::from_utf8(reference.to_vec()).unwrap();
                words.push_str(
                    quick_xml::escape::resolve_predefined_entity(&entity)
                        .unwrap_or_else(|| panic!("&{entity};")),
                );
            }
            Event::End(_) => match open.pop().unwrap().as_str() {
                "title" => found.title = std::mem::take(&mut words),
                "desc" => found.description = std::mem::take(&mut words),
                "text" => found.words.push(std::mem::take(&mut words)),
                _ => words.clear(),
            },
            Event::Eof => break,
            _ => {}
        }
    }
    assert!(open.is_empty(), "left open: {open:?}");
    found
}

fn is_xml(letter: char) -> bool {
    matches!(letter, '\n' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

#[test]
fn every_svg_is_valid_says_what_it_shows_and_holds_numbers_only() {
    for (name, chart) in all() {
        let drawing = chart.draw(Theme::Light).unwrap();
        let svg = drawing.svg("chart 1\"<>-light");
        assert!(svg.chars().all(is_xml), "{name}: letters that XML cannot hold");
        let parsed = parse(&svg);
        let allowed = BTreeSet::from(["svg", "title", "desc", "rect", "path", "text"].map(str::to_owned));
        assert!(parsed.elements.is_subset(&allowed), "{name}: {:?}", parsed.elements);
        assert_eq!(parsed.ids, ["chart1-light-title", "chart1-light-desc"], "{name}");
        let root = |key: &str| {
            let found = parsed.attributes.iter().find(|(name, _)| name == &format!("svg {key}"));
            found.map(|(_, value)| value.as_str()).unwrap()
        };
        assert_eq!((root("role"), root("aria-labelledby")), ("img", "chart1-light-title chart1-light-desc"));
        let (width, height) = drawing.size();
        assert_eq!(root("viewBox"), format!("0 0 {width} {height}"));
        assert_eq!(
            (parsed.title.as_str(), parsed.description.as_str()),
            (drawing.title(), drawing.description()),
            "{name}"
        );
        assert!(!parsed.title.is_empty() && !parsed.description.is_empty(), "{name}");
        let drawn: Vec<String> = drawing.labels().into_iter().map(|label| label.text).collect();
        assert_eq!(parsed.words, drawn, "{name}");
        for (key, value) in &parsed.attributes {
            assert!(!key.split(' ').next_back().unwrap().starts_with("on"), "{name}: {key}");
            let is_place = matches!(
                key.split(' ').next_back().unwrap(),
                "x" | "y" | "d" | "width" | "height" | "font-size" | "stroke-width" | "textLength"
            );
            let of_numbers = |letter: char| letter.is_ascii_digit() || " .-MLHVhz".contains(letter);
            assert!(
                !is_place || (!value.is_empty() && value.chars().all(of_numbers)),
                "{name}: {key}={value}"
            );
        }
    }
}

#[test]
fn no_number_makes_a_picture_fail_or_hold_what_is_no_number() {
    let wild = [f64::NAN, f64::INFINITY, -1.0, 1e308, 5e-324, 0.0, -0.0, 1e-99, 1e99];
    let options: Vec<Option<f64>> = wild.iter().copied().map(Some).chain([None]).collect();
    let odd = [i64::MIN, i64::MAX, 0, -1, START_MS];
    let windows: Vec<Window> =
        odd.iter().flat_map(|start| odd.iter().map(|end| Window::new(*start, *end))).collect();
    let mut hours = [None; 24];
    hours[..options.len()].copy_from_slice(&options);
    let segments: Vec<SegmentStyle> = (0..wild.len()).map(|segment| style(segment, false)).collect();
    let charts: Vec<Box<dyn Chart>> = vec![
        Box::new(StackedTime {
            text: text(false),
            buckets: windows.clone(),
            layers: wild
                .iter()
                .map(|value| Layer { name: String::new(), values: vec![*value; 30], kind: LayerKind::Normal })
                .collect(),
            y_label: String::new(),
            overlay: Some(Overlay { name: String::new(), values: options.clone(), y_label: String::new() }),
        }),
        Box::new(Bars {
            text: text(false),
            items: wild
                .iter()
                .map(|value| BarItem { name: String::new(), segments: vec![*value; 9] })
                .collect(),
            segments: segments.clone(),
            x_label: String::new(),
        }),
        Box::new(Periods {
            text: text(false),
            periods: vec![String::new(); 10],
            groups: vec![PeriodGroup { name: String::new(), values: options.clone() }; 3],
            x_label: String::new(),
        }),
        Box::new(Calendar {
            text: text(false),
            days: odd.iter().map(|start_ms| CalendarDay { start_ms: *start_ms, hours }).collect(),
            quantity: String::new(),
        }),
        Box::new(Scatter {
            text: text(false),
            points: wild.iter().flat_map(|x| wild.iter().map(|y| (*x, *y))).collect(),
            ..Scatter::default()
        }),
        Box::new(Coverage {
            text: text(false),
            buckets: windows,
            methods: vec![String::new(); 3],
            rows: vec![CoverageRow { name: String::new(), shares: vec![Some(wild.to_vec()); 30] }; 3],
        }),
        Box::new(Rings {
            text: text(false),
            rings: wild
                .iter()
                .map(|value| Ring {
                    name: String::new(),
                    figure: String::new(),
                    caption: String::new(),
                    parts: vec![*value; 9],
                })
                .collect(),
            segments,
        }),
    ];
    for chart in charts {
        let drawing = chart.draw(Theme::Dark).unwrap();
        let svg = drawing.svg("wild");
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        parse(&svg);
        assert!(collisions(&drawing).is_empty(), "{:?}", collisions(&drawing));
        drawing.png_scaled(0.25).unwrap();
    }
}

#[test]
fn an_empty_chart_says_so() {
    for (name, chart) in charts(0, false) {
        let labels = chart.draw(Theme::Light).unwrap().labels();
        assert!(labels.iter().any(|label| label.text.starts_with("No data")), "{name}: {labels:?}");
    }
}

#[test]
fn themes_differ_and_the_same_input_gives_the_same_bytes() {
    for (name, chart) in charts(5, false) {
        let bytes = |theme: Theme| {
            let drawing = chart.draw(theme).unwrap();
            (drawing.svg("id"), drawing.png_scaled(0.5).unwrap())
        };
        let (light, dark) = (bytes(Theme::Light), bytes(Theme::Dark));
        assert!(light.0 != dark.0 && light.1 != dark.1, "{name}");
        assert!(light == bytes(Theme::Light) && dark == bytes(Theme::Dark), "{name}");
        let shape = |svg: &str| {
            svg.split('#').map(|part| part.get(6..).unwrap_or(part).to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(shape(&light.0), shape(&dark.0), "{name}: only colours differ");
    }
}

#[test]
fn a_png_has_two_pixels_for_each_logical_one_and_carries_its_words() {
    let drawing = charts(5, false)[2].1.draw(Theme::Light).unwrap();
    let file = drawing.png().unwrap();
    let reader = png::Decoder::new(std::io::Cursor::new(&file)).read_info().unwrap();
    let info = reader.info();
    let (width, height) = drawing.size();
    assert_eq!((f64::from(info.width), f64::from(info.height)), (width * 2.0, height * 2.0));
    let dots = info.pixel_dims.unwrap();
    // 192 dots per inch of 25.4 mm are 7559 per metre.
    assert!(dots.xppu.abs_diff(7559) < 2 && dots.yppu == dots.xppu);
    let words: Vec<(String, String)> =
        info.utf8_text.iter().map(|chunk| (chunk.keyword.clone(), chunk.get_text().unwrap())).collect();
    let expected = [("Title", "What is shown"), ("Description", "What is shown, in words: 5 & more.")];
    assert_eq!(words, expected.map(|(key, text)| (key.to_owned(), text.to_owned())));
    assert!(drawing.png_scaled(0.0).is_err() && drawing.png_scaled(f32::NAN).is_err());
}

/// The rectangles of a path of rectangles in an SVG, of this colour: left, top, right, bottom.
fn rectangles(svg: &str, colour: &str) -> Vec<[f64; 4]> {
    let path = svg.lines().filter(|line| line.contains(&format!("fill=\"{colour}\" d=\"M")));
    path.flat_map(|line| {
        line.split("d=\"M")
            .nth(1)
            .unwrap()
            .trim_end_matches("\"/>")
            .split('M')
            .map(str::to_owned)
            .collect::<Vec<_>>()
    })
    .map(|rectangle| {
        let numbers: Vec<f64> = rectangle
            .split([' ', 'H', 'V', 'z'])
            .filter(|part| !part.is_empty())
            .map(|part| part.parse().unwrap())
            .collect();
        [numbers[0], numbers[1], numbers[2], numbers[3]]
    })
    .collect()
}

#[test]
fn bars_of_two_periods_are_as_long_as_their_values() {
    let group = |name: &str, before: Option<f64>, after: Option<f64>| PeriodGroup {
        name: name.into(),
        values: vec![before, after],
    };
    let chart = Periods {
        text: text(false),
        periods: vec!["2026-10".into(), "2026-11".into()],
        groups: vec![group("alice", Some(40.0), Some(10.0)), group("bob", None, Some(20.0))],
        x_label: "emissions (kgCO₂e)".into(),
    };
    let drawing = chart.draw(Theme::Light).unwrap();
    let svg = drawing.svg("periods");
    // Blue and orange of Okabe and Ito; the swatches of the legend are 14 wide.
    let long = |colour: &str| -> Vec<f64> {
        rectangles(&svg, colour)
            .iter()
            .map(|[left, _, right, _]| right - left)
            .filter(|width| *width > 15.0)
            .collect()
    };
    let (october, november) = (long("#0072B2"), long("#E69F00"));
    assert_eq!((october.len(), november.len()), (1, 2));
    let ratio = |part: f64| part / october[0];
    assert!((ratio(november[0]) - 0.25).abs() < 1e-4 && (ratio(november[1]) - 0.5).abs() < 1e-4, "{svg}");
    let words: Vec<String> = drawing.labels().into_iter().map(|label| label.text).collect();
    for expected in ["2026-10", "2026-11", "alice", "bob", "40.0", "10.0", "20.0", "no data"] {
        assert!(words.iter().any(|word| word == expected), "{expected}: {words:?}");
    }
}

#[test]
fn the_hours_of_a_calendar_are_shaded_by_their_value() {
    let mut hours = [Some(0.0); 24];
    hours[13] = Some(100.0);
    hours[2] = None;
    let day = |number: i64, hours| CalendarDay { start_ms: START_MS + number * DAY_MS, hours };
    let chart = Calendar {
        text: text(false),
        days: vec![day(0, [Some(1.0); 24]), day(1, hours)],
        quantity: "kWh".into(),
    };
    let svg = chart.draw(Theme::Light).unwrap().svg("calendar");
    // The darkest shade: one cell, and a step of the scale at the right.
    let dark = rectangles(&svg, "#002B4D");
    let cells: Vec<&[f64; 4]> = dark.iter().filter(|[left, ..]| *left < 1150.0).collect();
    assert_eq!(cells.len(), 1, "{dark:?}");
    let [left, top, right, bottom] = *cells[0];
    let unknown = rectangles(&svg, "#BDBDBD");
    let unknown: Vec<&[f64; 4]> = unknown.iter().filter(|[_, top, ..]| *top > 150.0).collect();
    // The second of two days; thirteen rows down, eleven under the hour that is not known.
    assert_eq!(unknown.len(), 1, "{unknown:?}");
    assert!(left > 600.0 && right > 1000.0 && (unknown[0][0] - left).abs() < 0.01);
    let row = (top - unknown[0][1]) / 11.0;
    assert!((bottom - top - row).abs() < 1.5 && (15.0..30.0).contains(&row), "{row}");
}

#[test]
fn strips_are_filled_by_what_is_known() {
    let chart = Coverage {
        text: text(false),
        buckets: (0..4)
            .map(|hour| Window::new(START_MS + hour * HOUR_MS, START_MS + (hour + 1) * HOUR_MS))
            .collect(),
        methods: vec!["measured:counter".into(), "modelled:constant".into()],
        rows: vec![CoverageRow {
            name: "n1".into(),
            shares: vec![Some(vec![1.0, 0.0]), Some(vec![0.5, 0.25]), Some(vec![]), None],
        }],
    };
    let svg = chart.draw(Theme::Light).unwrap().svg("coverage");
    let strips = |colour: &str| -> Vec<[f64; 4]> {
        rectangles(&svg, colour).into_iter().filter(|[left, _, right, _]| right - left > 15.0).collect()
    };
    let (counter, constant, unseen) = (strips("#0072B2"), strips("#E69F00"), strips("#BDBDBD"));
    let height = |[_, top, _, bottom]: &[f64; 4]| bottom - top;
    assert_eq!((counter.len(), constant.len(), unseen.len()), (2, 1, 1));
    let full = height(&unseen[0]);
    // Of the fourth hour nothing was expected.
    assert!(((unseen[0][2] - unseen[0][0]) / (counter[0][2] - counter[0][0]) - 3.0).abs() < 0.01);
    assert!((height(&counter[0]) - full).abs() < 0.01 && (height(&counter[1]) / full - 0.5).abs() < 0.01);
    // It reaches behind the better method: half and a quarter.
    assert!((height(&constant[0]) / full - 0.75).abs() < 0.01);
}

#[test]
fn twenty_thousand_runs_are_squares_that_hold_every_one() {
    // Of 101 × 101 places each once or twice.
    let points =
        (0..20_000).map(|index| (10_f64.powf((index % 101) as f64 / 40.0), (index / 101 % 101) as f64));
    let mut chart =
        Scatter { text: text(false), points: points.collect(), of: "runs".into(), ..Scatter::default() };
    chart.x_label = "energy (kWh)".into();
    let drawing = chart.draw(Theme::Light).unwrap();
    let words: Vec<String> = drawing.labels().into_iter().map(|label| label.text).collect();
    assert!(words.iter().any(|word| word == "300 and more runs in a square"), "{words:?}");
    assert!(drawing.svg("scatter").len() < 400_000);
    let squares = drawing.svg("scatter").matches("z").count();
    assert!((3_000..=10_300).contains(&squares), "{squares}");
    chart.points.truncate(400);
    let dots = chart.draw(Theme::Light).unwrap().svg("scatter");
    assert_eq!(dots.matches("h0").count(), 800, "a rim and a dot for each");
}
