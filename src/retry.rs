//! When to try again, and how long to wait before.

use std::time::Duration;

use chrono::{DateTime, Utc};

/// A server that asks for more than this is waited for no longer.
const LONGEST_WAIT: Duration = Duration::from_secs(300);

/// How passing trouble is dealt with.
#[derive(Clone, Copy, Debug)]
pub struct Retry {
    /// Tries after the first one.
    pub retries: u32,
    /// Wait before the second try; doubled before each one after it.
    pub first_wait: Duration,
    /// The longest such wait.
    pub longest_wait: Duration,
}

impl Default for Retry {
    /// Half a second at first, half a minute at most: a server that restarts is back after these.
    fn default() -> Self {
        Self { retries: 6, first_wait: Duration::from_millis(500), longest_wait: Duration::from_secs(30) }
    }
}

impl Retry {
    /// The wait before try `next` (the second one is 1); what the server asks for is kept to.
    pub(crate) fn wait(&self, next: u32, asked: Option<Duration>) -> Duration {
        let doubled =
            self.first_wait.saturating_mul(1_u32.checked_shl(next.saturating_sub(1)).unwrap_or(u32::MAX));
        let own = doubled.min(self.longest_wait);
        asked.map_or(own, |asked| asked.min(LONGEST_WAIT).max(own))
    }
}

/// The wait that a `Retry-After` header asks for: seconds, or a date.
pub(crate) fn retry_after(header: &str, now: DateTime<Utc>) -> Option<Duration> {
    let text = header.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let at = DateTime::parse_from_rfc2822(text).ok()?;
    Some((at.with_timezone(&Utc) - now).to_std().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest() {
        let retry = Retry::default();
        let waits: Vec<u128> = (1..9).map(|next| retry.wait(next, None).as_millis()).collect();
        assert_eq!(waits, [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]);
        assert_eq!(retry.wait(70, None).as_secs(), 30);
    }

    #[test]
    fn what_the_server_asks_for_is_kept_to() {
        let retry = Retry::default();
        assert_eq!(retry.wait(1, Some(Duration::from_secs(7))).as_secs(), 7);
        assert_eq!(retry.wait(1, Some(Duration::ZERO)).as_millis(), 500, "not at once");
        assert_eq!(retry.wait(1, Some(Duration::from_secs(86_400))).as_secs(), 300, "not for a day");
    }

    #[test]
    fn retry_after_as_rfc_9110_has_it() {
        let now = DateTime::parse_from_rfc3339("2015-10-21T07:27:00Z").unwrap().with_timezone(&Utc);
        assert_eq!(retry_after("120", now), Some(Duration::from_secs(120)));
        assert_eq!(retry_after("Wed, 21 Oct 2015 07:28:00 GMT", now), Some(Duration::from_secs(60)));
        assert_eq!(retry_after("Wed, 21 Oct 2015 07:00:00 GMT", now), Some(Duration::ZERO));
        assert_eq!(retry_after("soon", now), None);
    }
}
