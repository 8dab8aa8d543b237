//! A simulated cluster with known truth.
