//! Charts as SVG and PNG: pictures that can be read on a slide.
//!
//! A chart computes nothing but places. The numbers come ready, in the unit
//! that the axis names ([`scale_for`] finds a fitting one). What is not finite,
//! negative or above 1e100 is missing: it is drawn as nothing, and a time of
//! which nothing is known is shaded and named in the legend. Empty input draws
//! a chart that says so.
//!
//! [`Chart::draw`] turns each into a [`Drawing`] of few kinds of shapes, from which both SVG and PNG
//! are written as bytes; nothing is written anywhere. The same input gives the same bytes.

mod axis;
mod bars;
mod calendar;
mod coverage;
mod drawing;
mod frame;
mod palette;
mod periods;
mod raster;
mod rings;
mod rows;
mod scatter;
mod slices;
mod stacked_time;
mod svg;
mod text;
mod time_axis;

pub(super) use axis::three_digits;
pub use bars::{BarItem, Bars, SegmentStyle};
pub use calendar::{Calendar, CalendarDay};
pub use coverage::{Coverage, CoverageRow};
pub use drawing::{Drawing, Label};
pub use palette::Theme;
pub use periods::{PeriodGroup, Periods};
pub use rings::{Ring, Rings};
pub use scatter::Scatter;
pub use stacked_time::{Layer, LayerKind, Overlay, StackedTime};

/// A table that can be drawn.
pub trait Chart {
    /// Draws it.
    ///
    /// # Errors
    ///
    /// [`ChartError`] if the font cannot be used; never because of the numbers or the words.
    fn draw(&self, theme: Theme) -> Result<Drawing, ChartError>;
}

/// Why a chart could not be drawn. None of them depends on the numbers.
#[derive(Debug, thiserror::Error)]
pub enum ChartError {
    /// The font built into the program could not be used.
    #[error("the built-in font cannot be read")]
    Font,
    /// A picture of no pixels, or of more than there is memory for.
    #[error("the picture has no size that can be drawn")]
    Size,
    /// The picture could not be written as PNG.
    #[error("encoding the picture failed")]
    Encode(#[from] png::EncodingError),
}

/// The words around a chart. Each may be empty; what is too long is wrapped, then cut off with `…`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text {
    /// What is shown and of when. Up to two lines.
    pub title: String,
    /// Period, source, a note that the data is simulated. Up to two lines.
    pub subtitle: String,
    /// Small print at the bottom. Up to three lines.
    pub footnote: String,
    /// What the picture shows, in one sentence, for those who cannot see it: the `desc` of the SVG. If empty, the subtitle
    /// stands there.
    pub alt: String,
}

impl Text {
    /// The same with a note at its foot where fewer than all are shown.
    fn with_note(&self, shown: usize, all: usize, of: &str) -> Self {
        let mut words = self.clone();
        if shown < all {
            words.footnote.insert_str(0, &format!("The first {shown} of {all} {of} are shown. "));
        }
        words
    }
}

/// The largest of `units` (symbol and size) that is not larger than `max`, for an axis whose labels
/// should be short; the first if all are larger. Divide by the size before drawing.
///
/// `units` go from small to large; without any, the symbol is empty and the size 1.
///
/// ```
/// use wattledger::report::chart::scale_for;
///
/// let units = [("g", 1.0), ("kg", 1e3), ("t", 1e6)];
/// assert_eq!(scale_for(25_300.0, &units), ("kg", 1e3));
/// assert_eq!(scale_for(0.2, &units), ("g", 1.0));
/// ```
pub fn scale_for<'a>(max: f64, units: &[(&'a str, f64)]) -> (&'a str, f64) {
    let fitting = units.iter().rev().find(|(_, size)| max >= *size);
    fitting.or(units.first()).copied().unwrap_or(("", 1.0))
}
