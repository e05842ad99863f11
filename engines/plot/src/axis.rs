//! An axis: its range, its ticks and their labels.

/// What an axis counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// Numbers, with ticks at 1, 2 and 5 times powers of ten.
    Number,
    /// Bytes, with ticks at powers of two.
    Bytes,
}

/// What an axis says, and over which range at least.
#[derive(Debug, Clone)]
pub struct Axis {
    title: String,
    unit: Unit,
    range: Option<(f64, f64)>,
}

impl Axis {
    /// An axis over the range of the data.
    pub fn new(title: impl Into<String>, unit: Unit) -> Self {
        Self { title: crate::text::shortened(&title.into(), 48), unit, range: None }
    }

    /// The axis over this range at least. A range that is not finite counts as no range.
    #[must_use]
    pub fn from_to(mut self, from: f64, to: f64) -> Self {
        self.range = (from.is_finite() && to.is_finite()).then_some((from, to));
        self
    }

    pub(crate) fn title(&self) -> &str {
        &self.title
    }
}

/// About how many ticks have room.
const TICKS: f64 = 5.0;

/// An axis over its data.
pub(crate) struct Scale {
    from: f64,
    to: f64,
    step: f64,
    unit: Unit,
}

impl Scale {
    /// The axis over all `values`, which are finite.
    pub(crate) fn over(axis: &Axis, values: impl Iterator<Item = f64>) -> Self {
        // Halved at the far ends of what numbers reach, so that no difference is infinite.
        let bounded = |value: f64| value.clamp(f64::MIN / 4.0, f64::MAX / 4.0);
        let (mut from, mut to) = axis.range.unwrap_or((f64::INFINITY, f64::NEG_INFINITY));
        for value in values {
            from = from.min(value);
            to = to.max(value);
        }
        if from > to {
            (from, to) = (0.0, 1.0);
        }
        (from, to) = (bounded(from), bounded(to));
        // A range of nothing has no scale, and neither has one that numbers cannot tell apart.
        if to - from <= from.abs().max(to.abs()) * 1e-12 || to - from < f64::MIN_POSITIVE * 1e6 {
            let around = if from == 0.0 { 0.5 } else { from.abs() * 0.5 }.max(f64::MIN_POSITIVE * 1e9);
            (from, to) = (from - around, to + around);
        }
        let step = match axis.unit {
            Unit::Number => decimal_step(to - from),
            Unit::Bytes => ((to - from) / TICKS).log2().ceil().exp2().max(1.0),
        };
        Self { from, to, step, unit: axis.unit }
    }

    /// Where `value` lies between `begin` and `end`, in pixels.
    pub(crate) fn place(&self, value: f64, begin: f64, end: f64) -> f64 {
        let share = ((value.clamp(self.from, self.to) - self.from) / (self.to - self.from)).clamp(0.0, 1.0);
        begin + share * (end - begin)
    }

    pub(crate) fn ticks(&self) -> Vec<f64> {
        let first = (self.from / self.step - 1e-9).ceil();
        (0..16)
            .map(|tick| (first + f64::from(tick)) * self.step)
            .take_while(|tick| *tick <= self.to + self.step * 1e-9)
            .map(|tick| if tick.abs() < self.step * 1e-9 { 0.0 } else { tick })
            .collect()
    }

    pub(crate) fn label(&self, value: f64) -> String {
        match self.unit {
            Unit::Bytes => suffixed(value, 1024.0, &[" B", " KiB", " MiB", " GiB", " TiB", " PiB", " EiB"], self.step),
            Unit::Number => {
                let reach = self.from.abs().max(self.to.abs());
                if reach >= 1e15 || self.step < 1e-4 {
                    return if value == 0.0 { "0".into() } else { short_exponent(value) };
                }
                if reach < 10_000.0 {
                    return plain(value, self.step);
                }
                suffixed(value, 1000.0, &["", " k", " M", " G", " T"], self.step)
            }
        }
    }
}

/// A step of 1, 2 or 5 times a power of ten.
fn decimal_step(range: f64) -> f64 {
    let rough = range / TICKS;
    let power = 10_f64.powf(rough.log10().floor());
    let times = [1.0, 2.0, 5.0, 10.0].into_iter().find(|times| power * times >= rough * 0.999).unwrap_or(10.0);
    power * times
}

/// `value` in the largest unit that it reaches. A step between units shows one digit after the point.
fn suffixed(value: f64, base: f64, suffixes: &[&str], step: f64) -> String {
    if value == 0.0 {
        return format!("0{}", suffixes.first().copied().unwrap_or_default());
    }
    let mut scaled = value;
    let mut step = step;
    let mut suffixes = suffixes.iter();
    let mut suffix = suffixes.next();
    while scaled.abs() >= base {
        let Some(next) = suffixes.next() else { break };
        scaled /= base;
        step /= base;
        suffix = Some(next);
    }
    format!("{}{}", plain(scaled, step), suffix.copied().unwrap_or_default())
}

/// `value` with as many digits after the point as `step` has.
fn plain(value: f64, step: f64) -> String {
    let digits = (0..6).find(|&digits| is_whole(step * 10_f64.powi(digits))).unwrap_or(6);
    format!("{value:.*}", usize::try_from(digits).unwrap_or(0))
}

fn is_whole(value: f64) -> bool {
    (value - value.round()).abs() < 1e-6 * value.abs().max(1e-6) && value.round() != 0.0
}

/// `value` as `1.5e300`.
fn short_exponent(value: f64) -> String {
    let text = format!("{value:.2e}");
    match text.split_once('e') {
        Some((digits, exponent)) if digits.contains('.') => {
            format!("{}e{exponent}", digits.trim_end_matches('0').trim_end_matches('.'))
        }
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(unit: Unit, from: f64, to: f64) -> Vec<String> {
        let scale = Scale::over(&Axis::new("", unit), [from, to].into_iter());
        scale.ticks().into_iter().map(|tick| scale.label(tick)).collect()
    }

    #[test]
    fn numbers_have_round_ticks() {
        assert_eq!(labels(Unit::Number, 0.0, 8.0), ["0", "2", "4", "6", "8"]);
        assert_eq!(labels(Unit::Number, 0.0, 1.0), ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(labels(Unit::Number, -3.0, 12.0), ["0", "5", "10"]);
        assert_eq!(labels(Unit::Number, 0.0, 100_000.0), ["0", "20 k", "40 k", "60 k", "80 k", "100 k"]);
        assert_eq!(labels(Unit::Number, 0.0, 1.2e6), ["0", "500 k", "1.0 M"]);
        assert_eq!(labels(Unit::Number, 0.0, 5e299), ["0", "1e299", "2e299", "3e299", "4e299", "5e299"]);
    }

    #[test]
    fn bytes_have_ticks_at_powers_of_two() {
        assert_eq!(labels(Unit::Bytes, 0.0, 4096.0), ["0 B", "1 KiB", "2 KiB", "3 KiB", "4 KiB"]);
        assert_eq!(labels(Unit::Bytes, 0.0, 5.0), ["0 B", "1 B", "2 B", "3 B", "4 B", "5 B"]);
        assert_eq!(labels(Unit::Bytes, 0.0, 1e9), ["0 B", "256 MiB", "512 MiB", "768 MiB"]);
    }

    #[test]
    fn a_single_value_has_a_range_around_it() {
        assert_eq!(labels(Unit::Number, 7.0, 7.0), ["4", "6", "8", "10"]);
        assert_eq!(labels(Unit::Number, 0.0, 0.0), ["-0.4", "-0.2", "0.0", "0.2", "0.4"]);
    }
}
