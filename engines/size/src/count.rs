//! Counting bytes and lines of a stream of pieces.

/// How much is asked for at once. Larger pieces leave the processor's caches between the host's copy and the count.
const PIECE_BYTES: u64 = 256 * 1024;

/// How often progress is told at most, over the whole file.
const PROGRESS_STEPS: u64 = 100;

/// Where bytes come from, once and in order.
pub(crate) trait Source {
    /// Why the bytes ended early.
    type Error;

    /// The next bytes: at least one, at most `max`; an empty piece is the end.
    fn next(&mut self, max: u64) -> Result<Vec<u8>, Self::Error>;
}

/// What was counted.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    bytes: u64,
    lines: u64,
}

impl Counts {
    /// The report: numbers only, so that nothing needs escaping.
    pub(crate) fn to_json(&self) -> String {
        format!(r#"{{"bytes":{},"lines":{}}}"#, self.bytes, self.lines)
    }
}

/// When to tell progress: at most [`PROGRESS_STEPS`] times, and never for a file of a single piece. A call into the host
/// costs more than counting a small file.
#[derive(Debug)]
pub(crate) struct Progress {
    size: u64,
    step: u64,
    next: u64,
}

impl Progress {
    /// For a file that was announced with `size` bytes. The announcement is not believed: more bytes tell no more progress.
    pub(crate) fn of(size: u64) -> Self {
        let step = size.div_ceil(PROGRESS_STEPS).max(PIECE_BYTES);
        Self { size, step, next: step }
    }

    /// How far `done` bytes are in thousandths, if that is worth telling.
    fn reached(&mut self, done: u64) -> Option<u32> {
        if done < self.next || done >= self.size {
            return None;
        }
        self.next = done.saturating_add(self.step);
        u32::try_from(u128::from(done) * 1000 / u128::from(self.size)).ok()
    }
}

/// Counts everything `source` has, and tells `progress` now and then.
///
/// # Errors
///
/// The source's, when it ends early; what was counted until then is worth nothing.
pub(crate) fn count<S: Source>(source: &mut S, mut progress: Progress, tell: impl Fn(u32)) -> Result<Counts, S::Error> {
    let mut counts = Counts::default();
    let mut ends_with_newline = true;
    loop {
        let piece = source.next(PIECE_BYTES)?;
        let Some(last) = piece.last() else { break };
        ends_with_newline = *last == b'\n';
        counts.bytes += piece.len() as u64;
        counts.lines += memchr::memchr_iter(b'\n', &piece).count() as u64;
        if let Some(per_mille) = progress.reached(counts.bytes) {
            tell(per_mille);
        }
    }
    counts.lines += u64::from(!ends_with_newline);
    Ok(counts)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::convert::Infallible;

    use super::*;

    /// Pieces of at most `piece` bytes, whatever is asked for.
    struct Pieces<'a> {
        rest: &'a [u8],
        piece: usize,
    }

    impl Source for Pieces<'_> {
        type Error = Infallible;

        fn next(&mut self, max: u64) -> Result<Vec<u8>, Infallible> {
            let take = self.piece.min(self.rest.len()).min(usize::try_from(max).expect("64-bit tests"));
            let (piece, rest) = self.rest.split_at(take);
            self.rest = rest;
            Ok(piece.to_vec())
        }
    }

    fn counted(bytes: &[u8], piece: usize) -> Counts {
        let mut source = Pieces { rest: bytes, piece };
        count(&mut source, Progress::of(bytes.len() as u64), |_| ()).expect("the source is sound")
    }

    #[test]
    fn a_last_line_without_newline_is_a_line_and_an_empty_file_has_none() {
        for (text, lines) in [("", 0), ("a", 1), ("\n", 1), ("a\n", 1), ("a\nb", 2), ("a\n\n", 2), ("\r\n\r", 2)] {
            for piece in 1..=4 {
                let bytes = text.len() as u64;
                assert_eq!(counted(text.as_bytes(), piece), Counts { bytes, lines }, "{text:?}");
            }
        }
    }

    #[test]
    fn the_report_is_json() {
        assert_eq!(counted(b"a\nb", 8).to_json(), r#"{"bytes":3,"lines":2}"#);
    }

    #[test]
    fn an_input_that_ends_early_gives_no_counts() {
        struct Broken;
        impl Source for Broken {
            type Error = &'static str;
            fn next(&mut self, _max: u64) -> Result<Vec<u8>, &'static str> {
                Err("cut")
            }
        }
        assert_eq!(count(&mut Broken, Progress::of(9), |_| ()), Err("cut"));
    }

    #[test]
    fn progress_is_bounded_rises_and_stays_below_the_end() {
        for announced in [0, 1, 10_000_000, 60_000_000, u64::MAX] {
            let bytes = vec![0; 60_000_000];
            let told = RefCell::new(Vec::new());
            let mut source = Pieces { rest: &bytes, piece: 100_000 };
            count(&mut source, Progress::of(announced), |per_mille| {
                told.borrow_mut().push(per_mille);
            })
            .expect("the source is sound");
            let told = told.into_inner();
            assert!(told.len() <= 100, "{announced}: {} calls", told.len());
            assert!(told.is_sorted() && told.iter().all(|&per_mille| per_mille < 1000));
            if announced == 60_000_000 {
                assert!(told.len() > 50);
            }
        }
    }
}
