//! Charts as PNG: pictures that can be read on a slide.
//!
//! A chart computes nothing but pixels. The numbers come ready, in the unit
//! that the axis names ([`scale_for`] finds a fitting one). What is not finite,
//! negative or above 1e100 is missing: it is drawn as nothing, and a time of
//! which nothing is known is shaded and named in the legend. Empty input draws
//! a chart that says so.
//!
//! The functions return whole PNG files as bytes; nothing is written anywhere.
//! The same input gives the same bytes.

mod axis;
mod bars;
mod canvas;
mod frame;
mod palette;
mod stacked_time;
mod text;
mod time_axis;

pub use bars::{BarItem, Bars, SegmentStyle, bars};
pub use stacked_time::{Layer, LayerKind, Overlay, StackedTime, stacked_time};

/// Why a chart could not be drawn. None of them depends on the numbers.
#[derive(Debug, thiserror::Error)]
pub enum ChartError {
    /// The font built into the program could not be used.
    #[error("the built-in font cannot be read")]
    Font,
    /// The drawing library failed.
    #[error("drawing failed: {detail}")]
    Draw {
        /// What it says.
        detail: String,
    },
    /// The picture could not be written as PNG.
    #[error("encoding the picture failed")]
    Encode(#[from] png::EncodingError),
}

impl ChartError {
    fn draw(error: impl std::fmt::Display) -> Self {
        Self::Draw { detail: error.to_string() }
    }
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
