//! A column's numbers as a picture.

use filemill_plot::{Axis, Bar, Chart, Unit};

use crate::numbers::quantile;

/// How many bars there are at most.
const BARS: usize = 40;

/// A histogram of `sorted`, which are a column's numbers or a sample of them; `count` is how many there were. Where a few
/// lie so far out that the others would be one bar, it shows the middle 98 %. Nothing for fewer than two different numbers.
pub(crate) fn histogram(name: &str, sorted: &[f64], count: u64) -> Option<String> {
    let (least, most) = (*sorted.first()?, *sorted.last()?);
    let (low, high) = (quantile(sorted, 0.01)?, quantile(sorted, 0.99)?);
    let far_out = high > low && (most - least) > (high - low) * 4.0;
    let (from, to) = if far_out { (low, high) } else { (least, most) };
    let range = to - from;
    if !(range > 0.0 && range.is_finite()) {
        return None;
    }
    let whole = sorted.iter().all(|number| number.fract() == 0.0);
    let (from, width, bars) = if whole && range < BARS as f64 {
        // A bar a number, around it.
        (from - 0.5, 1.0, range as usize + 1)
    } else {
        (from, range / BARS as f64, BARS)
    };
    let mut counts = vec![0_u64; bars];
    let shown = sorted.iter().filter(|number| (from..=to).contains(*number));
    for number in shown {
        let bar = ((number - from) / width) as usize;
        counts[bar.min(bars - 1)] += 1;
    }
    let rows = count as f64 / sorted.len() as f64;
    let bar = |(at, kept): (usize, &u64)| {
        let from = from + width * at as f64;
        Bar { from, to: from + width, height: (*kept as f64 * rows).round() }
    };
    let bars: Vec<_> = counts.iter().enumerate().map(bar).collect();
    let estimated = if count > sorted.len() as u64 { "rows, estimated" } else { "rows" };
    let values = if far_out { "value, the middle 98 %" } else { "value" };
    let chart = Chart::new(name, Axis::new(values, Unit::Number), Axis::new(estimated, Unit::Number));
    Some(chart.bars(&bars))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_number_is_no_histogram() {
        assert_eq!(histogram("x", &[], 0), None);
        assert_eq!(histogram("x", &[7.0; 9], 9), None);
        assert_eq!(histogram("x", &[f64::MIN, f64::MAX], 2), None);
    }

    #[test]
    fn few_whole_numbers_have_a_bar_each() {
        let svg = histogram("dice", &[1.0, 2.0, 2.0, 3.0, 6.0], 5).expect("a picture");
        assert_eq!(svg.matches(r#"class="d""#).count(), 6);
    }

    #[test]
    fn what_lies_far_out_does_not_hide_the_others() {
        let mut sorted: Vec<f64> = (0..1000).map(|at| f64::from(at) / 7.0).collect();
        sorted.push(1e9);
        let svg = histogram("x", &sorted, 1001).expect("a picture");
        assert!(svg.contains("the middle 98 %"), "{svg}");
    }
}
