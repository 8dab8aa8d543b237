//! Charts as PNG.
