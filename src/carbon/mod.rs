//! Carbon intensity: what an hour in a zone emits per kilowatt-hour.
