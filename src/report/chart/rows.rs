//! Rows with a name before each: how high they are, which of them are named, and the axis under them.

use super::ChartError;
use super::axis::Axis;
use super::drawing::{Drawing, MARGIN, Region};
use super::frame::{Frame, SLIDE_HEIGHT, WIDTH, message};
use super::text::{self, Anchor, Type};
use super::{Text, palette::Theme};

/// A picture is as high as its rows need, between these.
const LEAST_HEIGHT: f64 = 240.0;
const MOST_HEIGHT: f64 = 1600.0;
/// Height of a row: what looks well, and what a label needs.
const WIDEST_ROW: f64 = 50.0;
const NARROWEST_ROW: f64 = 20.0;
const LABEL_ROW: f64 = 13.5;
const NAME_WIDTH: f64 = 300.0;
/// Height of an axis with its labels.
const AXIS_HEIGHT: f64 = 56.0;
const TOP_AXIS_HEIGHT: f64 = 24.0;

/// How high everything is.
pub(super) struct Rows {
    pub(super) height: f64,
    /// Where the first row begins and the last ends.
    pub(super) top: f64,
    pub(super) bottom: f64,
    pub(super) row: f64,
    /// Every how many-th row is named.
    pub(super) labelled: usize,
    axis_on_top: bool,
    pub(super) name: Type,
}

impl Rows {
    /// Room for `count` rows, at least one, of which each has `lines` bars, over an axis of numbers.
    pub(super) fn new(frame: &Frame, count: usize, lines: usize) -> Self {
        let mut rows = Self::over(frame, count, lines, AXIS_HEIGHT);
        // In a tall picture the bottom axis is far from the first rows.
        if rows.height > SLIDE_HEIGHT * 1.2 {
            rows.axis_on_top = true;
            rows.top += TOP_AXIS_HEIGHT;
            rows.fill(rows.height - frame.foot() - AXIS_HEIGHT, count, rows.row);
        }
        rows
    }

    /// The same over an axis of another height.
    pub(super) fn over(frame: &Frame, count: usize, lines: usize, axis_height: f64) -> Self {
        let rows = count;
        let count = count as f64;
        let chrome = frame.head() + axis_height + frame.foot();
        let most = WIDEST_ROW.max(lines as f64 * 22.0);
        let least = NARROWEST_ROW.max(lines as f64 * LABEL_ROW);
        let slide = ((SLIDE_HEIGHT - chrome) / count).clamp(least, most);
        let height = (chrome + count * slide).clamp(LEAST_HEIGHT, MOST_HEIGHT).ceil();
        let (top, name) = (frame.head(), text::NAME);
        let mut layout = Self { height, top, bottom: top, row: most, labelled: 1, axis_on_top: false, name };
        layout.fill(height - frame.foot() - axis_height, rows, most);
        layout
    }

    /// Spreads `count` rows, none of them higher than `most`, from the top to `bottom`.
    fn fill(&mut self, bottom: f64, count: usize, most: f64) {
        self.row = ((bottom - self.top) / count as f64).min(most);
        self.bottom = self.top + self.row * count as f64;
        self.labelled = (LABEL_ROW / self.row).ceil().max(1.0) as usize;
        self.name = text::NAME.sized(if self.row < 18.0 { 11.5 } else { 14.0 });
    }

    /// A picture that says why there are no rows.
    pub(super) fn nothing(frame: &Frame, text: &Text, theme: Theme) -> Result<Drawing, ChartError> {
        // Words alone take the room of a few bars.
        let rows = Self::new(frame, 3, 1);
        let mut drawing = frame.draw(text, theme, rows.height)?;
        message(&mut drawing, frame.room(rows.height), "No data to show")?;
        Ok(drawing)
    }

    /// Where a row begins.
    pub(super) fn top_of(&self, index: usize) -> f64 {
        self.top + self.row * index as f64
    }

    /// The names that are drawn, each with the number of its row, as short as they must be, and the width of the widest.
    pub(super) fn names<'a>(
        &self,
        names: impl Iterator<Item = &'a str>,
    ) -> Result<(Vec<(usize, String)>, f64), ChartError> {
        let mut shown = Vec::new();
        let mut widest = 0.0_f64;
        for (index, name) in names.enumerate().step_by(self.labelled) {
            let mut short = self.name.shorten(name, NAME_WIDTH)?;
            if short.is_empty() {
                short.push_str("(no name)");
            }
            widest = widest.max(self.name.width(&short)?);
            shown.push((index, short));
        }
        Ok((shown, widest))
    }

    /// Writes names before the plot that begins at `left`.
    pub(super) fn draw_names(
        &self,
        drawing: &mut Drawing,
        names: &[(usize, String)],
        left: f64,
    ) -> Result<(), ChartError> {
        for (index, name) in names {
            let baseline = self.top_of(*index) + self.row / 2.0 + self.name.size * 0.36;
            drawing.text(name, self.name, Anchor::Right, (left - 10.0, baseline))?;
        }
        Ok(())
    }

    /// The part with the bars, between names and totals of these widths.
    pub(super) fn region(&self, names: f64, totals: f64) -> Region {
        Region {
            left: (MARGIN + names + 10.0).round(),
            right: WIDTH - MARGIN - totals - 8.0,
            top: self.top,
            bottom: self.bottom,
        }
    }

    /// Draws grid and labels of an axis of numbers.
    pub(super) fn draw_axis(
        &self,
        drawing: &mut Drawing,
        region: Region,
        axis: Axis,
        title: &str,
    ) -> Result<(), ChartError> {
        for (at, tick) in axis.ticks() {
            let x = region.x(at / axis.top()).round();
            drawing.rule(Region { left: x, right: x + 1.0, ..region }, drawing.theme.grid());
            drawing.text(&tick, text::AXIS, Anchor::Centre, (x, region.bottom + 20.0))?;
            if self.axis_on_top {
                drawing.text(&tick, text::AXIS, Anchor::Centre, (x, region.top - 8.0))?;
            }
        }
        let short = text::AXIS.shorten(title, WIDTH - 2.0 * MARGIN)?;
        drawing.text(&short, text::AXIS, Anchor::Centre, (region.middle().0, region.bottom + 43.0))
    }

    /// Draws the line that bars stand on.
    pub(super) fn draw_base(&self, drawing: &mut Drawing, region: Region) {
        let base = Region { left: region.left - 1.0, right: region.left, ..region };
        drawing.rule(base, drawing.theme.baseline());
    }
}

/// Top and bottom of a bar in the middle of `height` at `top`: on whole pixels where it is thick enough to be seen as one.
pub(super) fn bar(top: f64, height: f64) -> (f64, f64) {
    let thickness = height * if height < 6.0 { 0.85 } else { 0.7 };
    let (from, to) = (top + (height - thickness) / 2.0, top + (height + thickness) / 2.0);
    if height < 6.0 { (from, to) } else { (from.round(), to.round()) }
}

/// Writes what a bar amounts to after its end, on paper: no grid line through the number.
pub(super) fn total(
    drawing: &mut Drawing,
    words: &str,
    style: Type,
    (end, middle): (f64, f64),
) -> Result<(), ChartError> {
    let right = end + 9.0 + style.width(words)?;
    let half = style.size * 0.43;
    let behind = Region { left: end + 5.0, top: middle - half, right, bottom: middle + half };
    drawing.rectangle(behind, drawing.theme.paper());
    drawing.text(words, style, Anchor::Left, (end + 7.0, middle + style.size * 0.36))
}
