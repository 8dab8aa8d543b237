//! What stands around every chart: title, subtitle and legend above, the footnote below.

use super::drawing::{Drawing, MARGIN, Region};
use super::palette::{Colour, Theme};
use super::text::{self, Anchor};
use super::{ChartError, Text};

/// Width of every picture, and height of those that fill a slide.
pub(super) const WIDTH: f64 = 1280.0;
pub(super) const SLIDE_HEIGHT: f64 = 720.0;
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
    pub(super) colour: Colour,
    /// A line, not an area.
    pub(super) line: bool,
}

impl Entry {
    /// Of an area.
    pub(super) fn area(name: &str, colour: Colour) -> Self {
        Self { name: name.to_owned(), colour, line: false }
    }
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
    width: f64,
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
            width,
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

    /// A picture of this height with it.
    pub(super) fn draw(&self, text: &Text, theme: Theme, height: f64) -> Result<Drawing, ChartError> {
        let mut picture = Drawing::new(text, theme, self.width, height);
        let drawing = &mut picture;
        let mut y = 22.0;
        for line in &self.title {
            drawing.text(line, text::TITLE, Anchor::Left, (MARGIN, y + 23.0))?;
            y += TITLE_LINE;
        }
        for line in &self.subtitle {
            drawing.text(line, text::SUBTITLE, Anchor::Left, (MARGIN, y + 17.0))?;
            y += SUBTITLE_LINE;
        }
        y += 4.0;
        for (index, row) in self.legend.iter().enumerate() {
            let mut end = MARGIN;
            for (x, entry) in row {
                end = draw_entry(drawing, entry, MARGIN + x, y + LEGEND_LINE / 2.0)?;
            }
            if self.more > 0 && index.saturating_add(1) == self.legend.len() {
                let more = format!("+{} more", self.more);
                drawing.text(&more, text::AXIS, Anchor::Left, (end + 24.0, y + LEGEND_LINE / 2.0 + 5.5))?;
            }
            y += LEGEND_LINE;
        }
        let mut y = height - self.foot();
        for line in &self.footnote {
            drawing.text(line, text::FOOTNOTE, Anchor::Left, (MARGIN, y + 12.0))?;
            y += FOOTNOTE_LINE;
        }
        Ok(picture)
    }

    /// What is left between head and foot of a picture of this height.
    pub(super) fn room(&self, height: f64) -> Region {
        Region {
            left: MARGIN,
            top: self.head(),
            right: self.width - MARGIN,
            bottom: height - self.foot() - 4.0,
        }
    }
}

/// Draws one entry and gives the x of its end.
fn draw_entry(drawing: &mut Drawing, entry: &Entry, x: f64, middle: f64) -> Result<f64, ChartError> {
    let half = if entry.line { 1.25 } else { SWATCH / 2.0 };
    let swatch = Region { left: x, top: middle - half, right: x + SWATCH, bottom: middle + half };
    drawing.rectangle(swatch, entry.colour);
    let name = x + SWATCH + 7.0;
    drawing.text(&entry.name, text::LEGEND, Anchor::Left, (name, middle + 5.5))?;
    Ok(name + text::LEGEND.width(&entry.name)?)
}

/// Says in the middle of the region why there is nothing to see in it.
pub(super) fn message(drawing: &mut Drawing, region: Region, words: &str) -> Result<(), ChartError> {
    drawing.rectangle(region, drawing.theme.no_data());
    let (x, y) = region.middle();
    drawing.text(words, text::MESSAGE, Anchor::Centre, (x, y + 8.0))
}
