//! What a field holds, by how it is written.

use speedate::{Date, DateTime, Time};

use crate::short::Short;

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
///
/// All of it becomes one function with what uses the value: the value is never in memory, which costs a component much. What
/// is rare is called, and returns a plain number.
#[inline(always)]
pub(crate) fn value_of(field: &[u8]) -> Value {
    bare_value_of(if is_spaced(field) { field.trim_ascii() } else { field })
}

/// Whether there may be spaces around what `field` holds.
#[inline(always)]
pub(crate) fn is_spaced(field: &[u8]) -> bool {
    matches!(field, [b' ', ..] | [.., b' '])
}

/// What `field`, which has no spaces around it, holds.
#[inline(always)]
pub(crate) fn bare_value_of(field: &[u8]) -> Value {
    let [first, rest @ ..] = field else { return Value::Null };
    if field.len() > LONGEST_BYTES {
        return Value::Text;
    }
    let digits = match first {
        b'0'..=b'9' => match field {
            [_, _, _, _, b'-', ..] if field.len() >= 10 => {
                return match (moment(field), field.len()) {
                    (NO_MOMENT, _) => Value::Text,
                    (seconds, 10) => Value::Date(seconds),
                    (seconds, _) => Value::DateTime(seconds),
                };
            }
            [_, _, b':', ..] => {
                return match time(field) {
                    NO_MOMENT => Value::Text,
                    seconds => Value::Time(seconds),
                };
            }
            _ => field,
        },
        b'.' => field,
        b'-' if rest.is_empty() => return Value::Null,
        b'+' | b'-' => rest,
        _ => {
            return match word(*first, field) {
                Word::Nothing => Value::Null,
                Word::Boolean => Value::Boolean,
                Word::Text => Value::Text,
            };
        }
    };
    // What is read may have its sign, or not.
    let signed = |number: f64| f64::from_bits(number.abs().to_bits() | (u64::from(*first == b'-') << 63));
    match number(digits, field) {
        Value::Integer(number) => Value::Integer(signed(number)),
        Value::Float(number) => Value::Float(signed(number)),
        value => value,
    }
}

/// The number in `field`, or text. Its part behind the sign is `digits`; the sign of the number may be missing.
#[inline(always)]
fn number(digits: &[u8], field: &[u8]) -> Value {
    if matches!(digits, [b'0', b'0'..=b'9', ..]) {
        return Value::Text;
    }
    match Short::read(digits) {
        Short::NO_NUMBER => return Value::Text,
        Short::LONGER => {}
        short if short.has_point() => return Value::Float(short.value()),
        short => return Value::Integer(short.value()),
    }
    let number = any_number(digits, field);
    if number.is_nan() {
        Value::Text
    } else if digits.iter().all(u8::is_ascii_digit) {
        Value::Integer(number)
    } else {
        Value::Float(number)
    }
}

/// Any finite number, or NaN.
#[inline(never)]
fn any_number(digits: &[u8], field: &[u8]) -> f64 {
    // The parser takes `inf` and `nan` too, which nobody means who writes a table.
    if !matches!(digits.first(), Some(b'0'..=b'9' | b'.')) {
        return f64::NAN;
    }
    fast_float2::parse(field).ok().filter(|number: &f64| number.is_finite()).unwrap_or(f64::NAN)
}

/// No moment that could be written.
const NO_MOMENT: i64 = i64::MIN;

/// A day, of ten bytes, or a day and a time, in seconds since 1970.
#[inline(never)]
fn moment(field: &[u8]) -> i64 {
    if field.len() == 10 {
        return Date::parse_bytes_rfc3339(field).map_or(NO_MOMENT, |date| date.timestamp());
    }
    DateTime::parse_bytes_rfc3339(field).map_or(NO_MOMENT, |moment| moment.timestamp_tz())
}

/// A time of day, in seconds.
#[inline(never)]
fn time(field: &[u8]) -> i64 {
    Time::parse_bytes(field).map_or(NO_MOMENT, |time| i64::from(time.total_seconds()))
}

/// What a word means.
#[derive(Clone, Copy)]
enum Word {
    Nothing,
    Boolean,
    Text,
}

/// What begins with anything but a digit or a sign: with `first`.
#[inline(always)]
fn word(first: u8, field: &[u8]) -> Word {
    // Most words mean nothing here, and are not looked at further.
    if field.len() > 5 || !matches!(first | 0x20, b't' | b'f' | b'y' | b'n' | b'#' | b'|') {
        return Word::Text;
    }
    known_word(field)
}

#[inline(never)]
fn known_word(field: &[u8]) -> Word {
    const fn packed(word: &[u8]) -> u64 {
        let mut packed = 0;
        let mut at = 0;
        while at < word.len() {
            packed = (packed << 8) | word[at].to_ascii_lowercase() as u64;
            at += 1;
        }
        packed
    }
    const TRUE: u64 = packed(b"true");
    const FALSE: u64 = packed(b"false");
    const YES: u64 = packed(b"yes");
    const NO: u64 = packed(b"no");
    const NA: u64 = packed(b"na");
    const N_A: u64 = packed(b"n/a");
    const HASH_N_A: u64 = packed(b"#n/a");
    const NAN: u64 = packed(b"nan");
    const NULL: u64 = packed(b"null");
    const NONE: u64 = packed(b"none");
    const BACKSLASH_N: u64 = packed(b"\\n");

    match packed(field) {
        TRUE | FALSE | YES | NO => Word::Boolean,
        NA | N_A | HASH_N_A | NAN | NULL | NONE | BACKSLASH_N => Word::Nothing,
        _ => Word::Text,
    }
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
    fn numbers_are_what_the_standard_library_reads() {
        let mut random = 1_u64;
        for _ in 0..100_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let digits = random >> (random >> 58);
            for text in [format!("{digits}"), format!("-{}.{}", digits >> 40, digits % 1_000_003), format!(".{digits}")]
            {
                let expected: f64 = text.parse().expect("a number");
                let number = match value_of(text.as_bytes()) {
                    Value::Integer(number) | Value::Float(number) => number,
                    value => panic!("{text}: {value:?}"),
                };
                assert_eq!(number.to_bits(), expected.to_bits(), "{text}");
            }
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
