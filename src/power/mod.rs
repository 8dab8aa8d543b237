//! Power models and hardware tables, for what has no meter.
