//! Times as text.

use rc_zip::chrono::{DateTime, Datelike, Timelike, Utc};

/// RFC 3339, in UTC; nothing for the epoch, which stands for a time that is not known, and beyond the year 9999.
pub(crate) fn text(time: DateTime<Utc>) -> Option<String> {
    if time.timestamp() == 0 || !(0..=9999).contains(&time.year()) {
        return None;
    }
    let (year, month, day) = (time.year(), time.month(), time.day());
    let (hour, minute, second) = (time.hour(), time.minute(), time.second());
    Some(format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z"))
}

/// The same for seconds since 1970.
pub(crate) fn of_seconds(seconds: u64) -> Option<String> {
    text(DateTime::from_timestamp(i64::try_from(seconds).ok()?, 0)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_become_a_date() {
        assert_eq!(of_seconds(1_714_564_800).as_deref(), Some("2024-05-01T12:00:00Z"));
        assert_eq!(of_seconds(0), None);
        assert_eq!(of_seconds(u64::MAX), None);
        assert_eq!(of_seconds(400_000_000_000), None);
    }
}
