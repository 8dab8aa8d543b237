//! What stands around every chart: title, subtitle and legend above, the footnote below.

use super::canvas::{Canvas, Region};
use super::text::{self, Anchor};
use super::{ChartError, Text, palette};
use plotters::style::RGBColor;

/// White space left and right of everything.
pub(super) const MARGIN: f64 = 32.0;
const TITLE_LINE: f64 = 30.0;
const SUBTITLE_LINE: f64 = 22.0;
const LEGEND_LINE: f64 = 26.0;
const FOOTNOTE_LINE: f64 = 17.0;
const SWATCH: f64 = 14.0;
const LEGEND_ROWS: usize = 3;
const LEGEND_NAME_WIDTH: f64 = 260.0;

/// One entry of a legend.
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) colour: RGBColor,
    /// A line, not an area.
    pub(super) line: bool,
}

/// Everything around the plot, laid out.
pub(super) struct Frame {
    title: Vec<String>,
    subtitle: Vec<String>,
    footnote: Vec<String>,
    /// Entries with the distance of each from the left margin.
    legend: Vec<Vec<(f64, Entry)>>,
    /// How many entries found no room.
    more: usize,
}

impl Frame {
    /// Lays out the text and the legend for a picture of this width.
    pub(super) fn new(text: &Text, legend: Vec<Entry>, width: f64) -> Result<Self, ChartError> {
        let room = width - 2.0 * MARGIN;
        let mut rows: Vec<Vec<(f64, Entry)>> = Vec::new();
        let (mut x, mut more) = (room, 0_usize);
        for mut entry in legend {
            entry.name = text::LEGEND.shorten(&entry.name, LEGEND_NAME_WIDTH)?;
            let needs = SWATCH + 7.0 + text::LEGEND.width(&entry.name)?;
            // On the last row room is kept for "+12 more".
            let limit = if rows.len() == LEGEND_ROWS { room - 90.0 } else { room };
            if x + needs > limit {
                if rows.len() == LEGEND_ROWS {
                    more = more.saturating_add(1);
                    x = room;
                    continue;
                }
                rows.push(Vec::new());
                x = 0.0;
            }
            if let Some(row) = rows.last_mut() {
                row.push((x, entry));
            }
            x += needs + 24.0;
        }
        Ok(Self {
            title: text::TITLE.wrap(&text.title, room, 2)?,
            subtitle: text::SUBTITLE.wrap(&text.subtitle, room, 2)?,
            footnote: text::FOOTNOTE.wrap(&text.footnote, room, 3)?,
            legend: rows,
            more,
        })
    }

    /// Height of what stands above the chart.
    pub(super) fn head(&self) -> f64 {
        let lines = |count: usize, height: f64| count as f64 * height;
        22.0 + lines(self.title.len(), TITLE_LINE)
            + lines(self.subtitle.len(), SUBTITLE_LINE)
            + lines(self.legend.len(), LEGEND_LINE)
            + 14.0
    }

    /// Height of what stands below it.
    pub(super) fn foot(&self) -> f64 {
        16.0 + self.footnote.len() as f64 * FOOTNOTE_LINE
    }

    /// Draws it on a picture of this height.
    pub(super) fn draw(&self, canvas: &Canvas<'_>, height: f64) -> Result<(), ChartError> {
        let mut y = 22.0;
        for line in &self.title {
            canvas.text(line, text::TITLE, Anchor::Left, (MARGIN, y + 23.0))?;
            y += TITLE_LINE;
        }
        for line in &self.subtitle {
            canvas.text(line, text::SUBTITLE, Anchor::Left, (MARGIN, y + 17.0))?;
            y += SUBTITLE_LINE;
        }
        y += 4.0;
        for (index, row) in self.legend.iter().enumerate() {
            let mut end = MARGIN;
            for (x, entry) in row {
                end = draw_entry(canvas, entry, MARGIN + x, y + LEGEND_LINE / 2.0)?;
            }
            if self.more > 0 && index.saturating_add(1) == self.legend.len() {
                let more = format!("+{} more", self.more);
                canvas.text(&more, text::AXIS, Anchor::Left, (end + 24.0, y + LEGEND_LINE / 2.0 + 5.5))?;
            }
            y += LEGEND_LINE;
        }
        let mut y = height - self.foot();
        for line in &self.footnote {
            canvas.text(line, text::FOOTNOTE, Anchor::Left, (MARGIN, y + 12.0))?;
            y += FOOTNOTE_LINE;
        }
        Ok(())
    }
}

/// Draws one entry and gives the x of its end.
fn draw_entry(canvas: &Canvas<'_>, entry: &Entry, x: f64, middle: f64) -> Result<f64, ChartError> {
    let half = if entry.line { 1.25 } else { SWATCH / 2.0 };
    let swatch = Region { left: x, top: middle - half, right: x + SWATCH, bottom: middle + half };
    canvas.rectangle(swatch, entry.colour)?;
    let name = x + SWATCH + 7.0;
    canvas.text(&entry.name, text::LEGEND, Anchor::Left, (name, middle + 5.5))?;
    Ok(name + text::LEGEND.width(&entry.name)?)
}

/// Says in the middle of the region why there is nothing to see in it.
pub(super) fn message(canvas: &Canvas<'_>, region: Region, words: &str) -> Result<(), ChartError> {
    canvas.rectangle(region, palette::NO_DATA)?;
    let middle = ((region.left + region.right) / 2.0, (region.top + region.bottom) / 2.0 + 8.0);
    canvas.text(words, text::MESSAGE, Anchor::Centre, middle)
}
