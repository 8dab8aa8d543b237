//! Tables and pictures.

pub mod chart;
