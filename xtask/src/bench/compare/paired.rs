//! What two builds' figures, measured in pairs, say about their ratio.

/// Ratios of pairs, summed up.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Paired {
    /// The middle ratio; of an even number the mean of the two.
    pub(super) median: f64,
    /// Between which two of the measured ratios the true median lies; absent where there are too few pairs to say so.
    pub(super) interval: Option<Interval>,
}

/// An interval between two measured values, by their ranks: it assumes nothing about how the values are spread.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Interval {
    pub(super) low: f64,
    pub(super) high: f64,
    /// The probability with which such an interval holds the true median: at least 0.95, and more because ranks are whole.
    pub(super) confidence: f64,
}

/// The least probability asked of an interval.
const CONFIDENCE: f64 = 0.95;

impl Paired {
    /// Of these ratios; `None` of none.
    pub(super) fn of(ratios: &[f64]) -> Option<Self> {
        let mut sorted = ratios.to_vec();
        sorted.sort_by(f64::total_cmp);
        let count = sorted.len();
        let (low, high) = (sorted.get(count.checked_sub(1)? / 2)?, sorted.get(count / 2)?);
        let median = (low + high) / 2.0;
        let interval = rank(count).and_then(|(rank, confidence)| {
            Some(Interval { low: *sorted.get(rank - 1)?, high: *sorted.get(count - rank)?, confidence })
        });
        Some(Self { median, interval })
    }
}

/// The highest rank `k`, from 1, for which the `k`-th lowest and the `k`-th highest of `count` values hold the true median
/// between them with a probability of at least [`CONFIDENCE`], and that probability. `None` where even the lowest and the
/// highest do not: below six values.
///
/// The number of values below the true median is binomial with one half (David and Nagaraja, Order Statistics, §7.1).
fn rank(count: usize) -> Option<(usize, f64)> {
    let n = f64::from(u32::try_from(count).ok()?);
    let mut found = None;
    let mut below = 0.0;
    let mut term = 0.5_f64.powf(n); // the probability that exactly `k - 1` of `count` lie below the median
    for k in 1..=count / 2 {
        below += term;
        let confidence = 1.0 - 2.0 * below;
        if confidence < CONFIDENCE {
            break;
        }
        found = Some((k, confidence));
        let k = f64::from(u32::try_from(k).ok()?);
        term *= (n - k + 1.0) / k;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_those_of_the_tables() {
        // Conover, Practical Nonparametric Statistics, table A3 at one half.
        for (count, expected) in
            [(0, None), (5, None), (6, Some(1)), (8, Some(1)), (9, Some(2)), (15, Some(4)), (20, Some(6))]
        {
            assert_eq!(rank(count).map(|(rank, _)| rank), expected, "{count} values");
        }
        let (_, confidence) = rank(9).expect("nine are enough");
        assert!((confidence - 0.960_937_5).abs() < 1e-12, "{confidence}");
    }

    #[test]
    fn nine_pairs_lie_between_the_second_and_the_eighth() {
        let ratios = [1.09, 1.01, 1.02, 1.03, 1.04, 1.05, 1.06, 1.07, 0.5];
        let paired = Paired::of(&ratios).expect("there are some");
        let Interval { low, high, .. } = paired.interval.expect("nine are enough");
        assert_eq!((paired.median, low, high), (1.04, 1.01, 1.07));
    }

    #[test]
    fn too_few_pairs_have_a_median_and_claim_nothing_more() {
        assert_eq!(Paired::of(&[]), None);
        assert_eq!(Paired::of(&[1.0, 2.0]), Some(Paired { median: 1.5, interval: None }));
    }
}
