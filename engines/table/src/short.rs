//! Short numbers, which most are, without a general parser.

/// A number of up to 15 digits with or without a point: both the digits and the power of ten are exact in a double then, and
/// one division rounds once (W. D. Clinger, "How to read floating point numbers accurately", 1990). Its digits, then
/// whether it has a point, then how many digits stand behind that, all in one word: a component is slow at returning more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Short(u64);

/// Powers of ten that are exact.
const TENS: [f64; 16] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];

impl Short {
    /// Maybe a number, but no short one.
    pub(crate) const LONGER: Self = Self(u64::MAX);

    /// No number at all.
    pub(crate) const NO_NUMBER: Self = Self(u64::MAX - 1);

    /// Reads what stands behind the sign of a number.
    #[inline(never)]
    pub(crate) fn read(digits: &[u8]) -> Self {
        let short = match digits.len() {
            1..=8 if digits != b"." => Self::of_up_to_eight(digits),
            9..=15 => Self::of_two(digits),
            _ => return Self::LONGER,
        };
        short.unwrap_or_else(|| Self::otherwise(digits))
    }

    pub(crate) fn has_point(self) -> bool {
        self.0 & 16 != 0
    }

    pub(crate) fn value(self) -> f64 {
        // Signed, because that is one instruction.
        let whole = (self.0 >> 5) as i64 as f64;
        if self.has_point() { whole / TENS[(self.0 & 15) as usize] } else { whole }
    }

    /// The last eight characters, and what stands before them.
    #[inline(always)]
    fn of_two(digits: &[u8]) -> Option<Self> {
        let (first, last) = digits.split_at(digits.len() - 8);
        let (first, last) = (Self::of_up_to_eight(first)?, Self::of_up_to_eight(last)?);
        let (whole, behind) = match (first.has_point(), last.has_point()) {
            (true, true) => return None,
            (true, false) => ((first.0 >> 5) * 100_000_000, (first.0 & 31) + 8),
            (false, true) => ((first.0 >> 5) * 10_000_000, last.0 & 31),
            (false, false) => ((first.0 >> 5) * 100_000_000, 0),
        };
        Some(Self(((whole + (last.0 >> 5)) << 5) | behind))
    }

    /// Eight characters at once, as D. Lemire describes ("Quickly parsing eight digits", 2018): a loop costs a component a
    /// check of its time a round.
    #[inline(always)]
    fn of_up_to_eight(digits: &[u8]) -> Option<Self> {
        let mut length = digits.len() as u32;
        // The first character in the lowest byte.
        let mut word = match (digits.first_chunk::<4>(), digits.last_chunk::<4>()) {
            (Some(first), Some(last)) => {
                let (first, last) = (u32::from_le_bytes(*first), u32::from_le_bytes(*last));
                u64::from(first) | (u64::from(last) << (8 * (length - 4)))
            }
            _ => {
                let (middle, last) = (digits.len() / 2, digits.len() - 1);
                u64::from(digits[0])
                    | (u64::from(digits[middle]) << (8 * middle))
                    | (u64::from(digits[last]) << (8 * last))
            }
        };
        // A byte that is a point becomes 0, and then its highest bit is set; what is above it may be wrong.
        let points = word ^ 0x2E2E_2E2E_2E2E_2E2E;
        let points = points.wrapping_sub(0x0101_0101_0101_0101) & !points & 0x8080_8080_8080_8080;
        let mut behind = 0;
        if points != 0 {
            let at = points.trailing_zeros() & !7;
            let before = word & ((1 << at) - 1);
            word = before | ((word >> at >> 8) << at);
            length -= 1;
            behind = 16 | (length - at / 8);
            if length == 0 {
                return Some(Self(16));
            }
        }
        // Zeros in front, up to eight characters.
        let room = 64 - 8 * length;
        word = (word << room) | (0x3030_3030_3030_3030 & ((1 << room) - 1));
        // A digit has the high half 3, and still has it with 6 more.
        const HIGH: u64 = 0xF0F0_F0F0_F0F0_F0F0;
        if (word & HIGH) | ((word.wrapping_add(0x0606_0606_0606_0606) & HIGH) >> 4) != 0x3333_3333_3333_3333 {
            return None;
        }
        // Pairs, fours, eights: each is ten, a hundred, ten thousand times the one before plus the next.
        word = (word & 0x0F0F_0F0F_0F0F_0F0F).wrapping_mul(1 + (10 << 8)) >> 8;
        word = (word & 0x00FF_00FF_00FF_00FF).wrapping_mul(1 + (100 << 16)) >> 16;
        word = (word & 0x0000_FFFF_0000_FFFF).wrapping_mul(1 + (10_000 << 32)) >> 32;
        Some(Self((word << 5) | u64::from(behind)))
    }

    /// With an exponent it may still be a number.
    #[cold]
    fn otherwise(digits: &[u8]) -> Self {
        if digits.iter().any(|byte| byte.eq_ignore_ascii_case(&b'e')) { Self::LONGER } else { Self::NO_NUMBER }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anything_up_to_three_characters_is_read_as_the_standard_library_does() {
        let characters = *b"0123456789.eE+-/:x \xff\x00";
        let check = |text: &[u8]| {
            let short = Short::read(text);
            let expected = std::str::from_utf8(text).ok().and_then(|text| text.parse::<f64>().ok());
            match expected {
                Some(number) if !text.starts_with(b"+") && !text.starts_with(b"-") && short != Short::LONGER => {
                    assert_eq!(short.value(), number, "{text:?}");
                    assert_eq!(short.has_point(), text.contains(&b'.'), "{text:?}");
                }
                Some(_) => {}
                None => assert!(matches!(short, Short::NO_NUMBER | Short::LONGER), "{text:?}: {short:?}"),
            }
        };
        for first in characters {
            check(&[first]);
            for second in characters {
                check(&[first, second]);
                for third in characters {
                    check(&[first, second, third]);
                    // And as the ends of longer ones.
                    check(&[first, b'1', second, b'2', b'3', third]);
                    check(&[b'1', first, b'0', b'0', second, b'2', b'3', third]);
                    check(&[b'1', first, b'0', b'0', second, b'2', b'3', b'4', b'5', third, b'6']);
                }
            }
        }
    }
}
