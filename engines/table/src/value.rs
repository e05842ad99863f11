//! What a field holds, by how it is written.

use speedate::{Date, DateTime, Time};

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Value {
    /// Nothing, or a word for nothing.
    Null,
    /// A whole number. Beyond 2^53 it is the nearest that a double has.
    Integer(f64),
    /// Any other finite number.
    Float(f64),
    /// Yes or no.
    Boolean,
    /// A day, as seconds since 1970.
    Date(i64),
    /// A day and a time, as seconds since 1970.
    DateTime(i64),
    /// A time of day, as seconds since midnight.
    Time(i64),
    /// An object or a list, in JSON.
    Nested,
    /// Anything else.
    Text,
}

/// Longer fields are neither numbers nor times.
const LONGEST_BYTES: usize = 40;

/// What `field` holds. Spaces around it do not matter.
///
/// Whole numbers with zeros in front (`007`) are text: they are written by who means a code, not a number. So are dates in
/// which day and month could be each other.
#[inline]
pub(crate) fn value_of(field: &[u8]) -> Value {
    let field = match field {
        [b' ', ..] | [.., b' '] => field.trim_ascii(),
        field => field,
    };
    match *field {
        [] => Value::Null,
        [first, ..] if field.len() <= LONGEST_BYTES => match first {
            b'0'..=b'9' => counted(field),
            b'+' | b'-' | b'.' => number(field).unwrap_or(if field == b"-" { Value::Null } else { Value::Text }),
            _ => word(field),
        },
        _ => Value::Text,
    }
}

/// What begins with a digit.
fn counted(field: &[u8]) -> Value {
    match field {
        [_, _, _, _, b'-', ..] if field.len() >= 10 => moment(field),
        [_, _, b':', ..] => time(field),
        _ => number(field).unwrap_or(Value::Text),
    }
}

fn moment(field: &[u8]) -> Value {
    if field.len() == 10 {
        return Date::parse_bytes_rfc3339(field).map_or(Value::Text, |date| Value::Date(date.timestamp()));
    }
    DateTime::parse_bytes_rfc3339(field).map_or(Value::Text, |moment| Value::DateTime(moment.timestamp_tz()))
}

fn time(field: &[u8]) -> Value {
    Time::parse_bytes(field).map_or(Value::Text, |time| Value::Time(i64::from(time.total_seconds())))
}

fn number(field: &[u8]) -> Option<Value> {
    let (sign, digits) = match field {
        [b'-', digits @ ..] => (-1.0, digits),
        [b'+', digits @ ..] => (1.0, digits),
        digits => (1.0, digits),
    };
    if matches!(digits, [b'0', b'0'..=b'9', ..]) {
        return None;
    }
    // Up to here nothing overflows; what is longer takes the slower way.
    if digits.len() <= 18
        && let Some(whole) = whole(digits)
    {
        return Some(Value::Integer(sign * whole as f64));
    }
    // The parser takes `inf` and `nan` too, which nobody means who writes a table.
    if !matches!(digits.first(), Some(b'0'..=b'9' | b'.')) {
        return None;
    }
    let value = fast_float2::parse::<f64, _>(field).ok().filter(|value| value.is_finite())?;
    if digits.iter().all(u8::is_ascii_digit) { Some(Value::Integer(value)) } else { Some(Value::Float(value)) }
}

/// The number that up to 18 digits write, if they are digits and at least one.
#[inline]
fn whole(digits: &[u8]) -> Option<i64> {
    let mut whole = 0;
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        whole = whole * 10 + i64::from(digit);
    }
    (!digits.is_empty()).then_some(whole)
}

/// What begins with anything but a digit or a sign.
fn word(field: &[u8]) -> Value {
    if field.len() > 5 {
        return Value::Text;
    }
    let is = |word: &&[u8]| field.eq_ignore_ascii_case(word);
    if [b"true".as_slice(), b"false", b"yes", b"no"].iter().any(is) {
        return Value::Boolean;
    }
    if [b"na".as_slice(), b"n/a", b"#n/a", b"nan", b"null", b"none", b"\\n"].iter().any(is) {
        return Value::Null;
    }
    Value::Text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_told_from_what_looks_like_them() {
        for (text, value) in
            [("0", 0.0), ("-12", -12.0), ("+7", 7.0), (" 42 ", 42.0), ("12345678901234567890", 12345678901234567890.0)]
        {
            assert_eq!(value_of(text.as_bytes()), Value::Integer(value), "{text}");
        }
        for (text, value) in [("0.5", 0.5), ("-.5", -0.5), ("1e3", 1000.0), ("3.", 3.0), ("-2.5E-1", -0.25)] {
            assert_eq!(value_of(text.as_bytes()), Value::Float(value), "{text}");
        }
        for text in ["007", "1,5", "12a", "-", "--1", "+", ".", "1e999", "-inf", "+nan", "0x10", "1_000", "1 2", "٣"] {
            assert!(matches!(value_of(text.as_bytes()), Value::Text | Value::Null), "{text}");
        }
    }

    #[test]
    fn nothing_and_words_for_it_are_null() {
        for text in ["", " ", "NA", "n/a", "NaN", "NULL", "none", "\\N", "#N/A", "-"] {
            assert_eq!(value_of(text.as_bytes()), Value::Null, "{text}");
        }
    }

    #[test]
    fn yes_and_no_are_booleans_in_any_case() {
        for text in ["true", "FALSE", "Yes", "no"] {
            assert_eq!(value_of(text.as_bytes()), Value::Boolean, "{text}");
        }
    }

    #[test]
    fn moments_are_dates_and_times_that_exist() {
        assert_eq!(value_of(b"1970-01-02"), Value::Date(86_400));
        assert_eq!(value_of(b"1970-01-02T00:00:01Z"), Value::DateTime(86_401));
        assert_eq!(value_of(b"1970-01-02 02:00:01+02:00"), Value::DateTime(86_401));
        assert_eq!(value_of(b"01:02:03"), Value::Time(3723));
        for text in ["2023-02-29", "1970-13-01", "01/02/2020", "25:00:00", "2020-01", "2020-1-1"] {
            assert_eq!(value_of(text.as_bytes()), Value::Text, "{text}");
        }
    }

    #[test]
    fn anything_is_a_value() {
        for first in 0..=255_u8 {
            for second in 0..=255 {
                value_of(&[first, second]);
                value_of(&[b'-', first, second, b'0', b'-', b'0', b'1', b'-', b'0', b'1', b'T']);
                value_of(&[b'2', b'0', first, second, b'-', b'0', b'1', b'-', b'0', b'1', b'T', first, second]);
            }
        }
    }
}
