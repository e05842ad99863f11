//! What is kept of a column's numbers, in one pass and bounded memory.

/// How many numbers are kept for quantiles and histograms. Of fewer they are exact; of more, the rank of a quantile is off by
/// 0.4 % of the rows at most, two times of three (half of a binomial's standard deviation over the square root of this).
/// A t-digest is as exact, and costs ten times as much a row as everything else together.
pub(crate) const SAMPLE: usize = 16_384;

/// A column's numbers.
#[derive(Debug)]
pub(crate) struct Numbers {
    count: u64,
    least: f64,
    most: f64,
    /// Sums are of differences to the first number, so that large numbers close together keep their digits.
    first: f64,
    sum: f64,
    squares: f64,
    sample: Sample,
}

impl Numbers {
    pub(crate) fn new() -> Self {
        Self {
            count: 0,
            least: f64::INFINITY,
            most: f64::NEG_INFINITY,
            first: 0.0,
            sum: 0.0,
            squares: 0.0,
            sample: Sample::new(),
        }
    }

    /// Adds a finite number.
    #[inline]
    pub(crate) fn add(&mut self, number: f64) {
        if self.count == 0 {
            self.first = number;
        }
        self.count += 1;
        // Not `min` and `max`: they are calls in a component, because what WebAssembly has treats NaN otherwise.
        if number < self.least {
            self.least = number;
        }
        if number > self.most {
            self.most = number;
        }
        let off = number - self.first;
        self.sum += off;
        self.squares += off * off;
        self.sample.add(number);
    }

    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    pub(crate) fn least(&self) -> f64 {
        self.least
    }

    pub(crate) fn most(&self) -> f64 {
        self.most
    }

    pub(crate) fn mean(&self) -> f64 {
        self.first + self.sum / self.count as f64
    }

    /// Of the numbers as a whole population.
    pub(crate) fn standard_deviation(&self) -> f64 {
        let count = self.count as f64;
        let mean = self.sum / count;
        let variance = self.squares / count - mean * mean;
        // Of nearly equal numbers it may come out below nothing; of huge ones it is no number, and stays so.
        if variance < 0.0 { 0.0 } else { variance.sqrt() }
    }

    /// The numbers that were kept, rising: all of them, or a sample in which each was as likely to be.
    pub(crate) fn sorted(&self) -> Vec<f64> {
        let mut sorted = self.sample.kept.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        sorted
    }
}

/// The number below which the share `rank` of `sorted` lies, between two of them in proportion; nothing of nothing.
pub(crate) fn quantile(sorted: &[f64], rank: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let at = rank.clamp(0.0, 1.0) * last as f64;
    let (below, above) = (sorted.get(at.floor() as usize)?, sorted.get((at.ceil() as usize).min(last))?);
    let share = at.fract();
    Some(if below == above { *below } else { below * (1.0 - share) + above * share })
}

/// A uniform sample of a stream by algorithm L: K.-H. Li, "Reservoir-sampling algorithms of time complexity
/// O(n(1 + log(N/n)))", ACM TOMS 20(4), 1994. It knows in advance how many numbers it will pass over, so that nearly all of
/// them cost a comparison.
#[derive(Debug)]
struct Sample {
    kept: Vec<f64>,
    seen: u64,
    /// Which number is taken next: each, as long as there is room.
    next: u64,
    weight: f64,
    random: u64,
}

impl Sample {
    fn new() -> Self {
        // A fixed seed: the same file gives the same report.
        Self { kept: Vec::new(), seen: 0, next: 0, weight: 1.0, random: 0x9E37_79B9_7F4A_7C15 }
    }

    #[inline(always)]
    fn add(&mut self, number: f64) {
        if self.seen == self.next {
            self.take(number);
        }
        self.seen += 1;
    }

    #[inline(never)]
    fn take(&mut self, number: f64) {
        if self.kept.len() < SAMPLE {
            self.kept.push(number);
        } else {
            let slot = (self.uniform() * SAMPLE as f64) as usize;
            self.kept[slot.min(SAMPLE - 1)] = number;
        }
        if self.kept.len() < SAMPLE {
            self.next += 1;
        } else {
            self.skip();
        }
    }

    /// Chooses which number is taken next.
    fn skip(&mut self) {
        // `libm` rather than the machine's own: a component and a native build choose the same.
        self.weight *= libm::exp(libm::log(self.uniform()) / SAMPLE as f64);
        let over = libm::floor(libm::log(self.uniform()) / libm::log1p(-self.weight));
        self.next = self.next.saturating_add(over as u64).saturating_add(1);
    }

    /// Between 0 and 1, neither of them, by xorshift64*.
    fn uniform(&mut self) -> f64 {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        let bits = self.random.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11;
        (bits as f64 + 0.5) / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(numbers: impl Iterator<Item = f64>) -> Numbers {
        let mut all = Numbers::new();
        numbers.for_each(|number| all.add(number));
        all
    }

    #[test]
    fn few_numbers_are_exact() {
        let numbers = of([4.0, 1.0, 3.0, 2.0, 5.0].into_iter());
        assert_eq!((numbers.least(), numbers.most(), numbers.mean()), (1.0, 5.0, 3.0));
        assert!((numbers.standard_deviation() - 2.0_f64.sqrt()).abs() < 1e-12);
        let sorted = numbers.sorted();
        assert_eq!(quantile(&sorted, 0.5), Some(3.0));
        assert_eq!(quantile(&sorted, 0.0), Some(1.0));
        assert_eq!(quantile(&sorted, 1.0), Some(5.0));
        assert_eq!(quantile(&[1.0, 2.0], 0.5), Some(1.5));
        assert_eq!(quantile(&[f64::MIN, f64::MAX], 0.5), Some(0.0));
        assert_eq!(quantile(&[], 0.5), None);
    }

    #[test]
    fn large_numbers_close_together_keep_their_spread() {
        let numbers = of((0..1000).map(|at| 1e12 + f64::from(at % 2)));
        assert!((numbers.standard_deviation() - 0.5).abs() < 1e-6, "{}", numbers.standard_deviation());
    }

    #[test]
    fn many_numbers_are_sampled_evenly_whatever_their_order() {
        let many = 3_000_000;
        for falling in [false, true] {
            let numbers = of((0..many).map(|at| f64::from(if falling { many - 1 - at } else { at })));
            let sorted = numbers.sorted();
            assert_eq!(sorted.len(), SAMPLE);
            for rank in [0.01, 0.25, 0.5, 0.75, 0.99] {
                let off = quantile(&sorted, rank).expect("a sample") / f64::from(many) - rank;
                assert!(off.abs() < 0.015, "{falling} {rank}: {off}");
            }
        }
    }
}
