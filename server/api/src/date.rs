//! The header `Date`, by which both ends compare their clocks.

/// Seconds since 1970-01-01 UTC of the one form that servers send a `Date` in (RFC 9110, IMF-fixdate): `Sun, 06 Nov 1994 08:49:37 GMT`.
/// `None` for any other text.
pub fn unix_seconds_of(date: &str) -> Option<i64> {
    let mut words = date.get(5..)?.split_ascii_whitespace();
    let (day, month, year) = (words.next()?, words.next()?, words.next()?);
    let mut time = words.next()?.split(':');
    let (hour, minute, second) = (time.next()?, time.next()?, time.next()?);
    if words.next()? != "GMT" || words.next().is_some() || time.next().is_some() {
        return None;
    }
    let number = |digits: &str, most: i64| {
        let plain = digits.len() <= 4 && digits.bytes().all(|byte| byte.is_ascii_digit());
        digits.parse::<i64>().ok().filter(|number| plain && *number <= most)
    };
    let month = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
        .iter()
        .position(|name| *name == month)?;
    let month = i64::try_from(month).ok()? + 1;
    let (year, day) = (number(year, 9999)?, number(day, 31)?);
    // Days since 1970 of a date, counted in years that begin in March (Howard Hinnant, "chrono-compatible low-level date
    // algorithms").
    let shifted = if month <= 2 { year - 1 } else { year };
    let era = shifted.div_euclid(400);
    let year_of_era = shifted - era * 400;
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = era * 146_097 + day_of_era - 719_468;
    Some(days * 86_400 + number(hour, 23)? * 3_600 + number(minute, 59)? * 60 + number(second, 60)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_as_the_standard_writes_them() {
        assert_eq!(unix_seconds_of("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777));
        assert_eq!(unix_seconds_of("Thu, 01 Jan 1970 00:00:00 GMT"), Some(0));
        assert_eq!(unix_seconds_of("Thu, 29 Feb 2024 23:59:59 GMT"), Some(1_709_251_199));
        for bad in [
            "",
            "Sun,",
            "Sun, 06 Nov 1994 08:49:37",
            "Sun, 06 Nov -994 08:49:37 GMT",
            "Sun, 06 Xxx 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 24:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:37:00 GMT",
            "Sünd, 06 Nov 1994 08:49:37 GMT",
        ] {
            assert_eq!(unix_seconds_of(bad), None, "{bad}");
        }
    }
}
