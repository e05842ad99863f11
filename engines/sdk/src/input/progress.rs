//! When to tell the host how far reading is.

/// How often progress is told at most, over the whole file.
const STEPS: u64 = 100;

/// Files below this are read before anybody could look.
const LEAST_STEP_BYTES: u64 = 256 * 1024;

/// Tells progress at most [`STEPS`] times, and never for a small file: a call into the host costs more than most work on
/// one.
#[derive(Debug)]
pub(crate) struct Progress {
    size: u64,
    step: u64,
    next: u64,
}

impl Progress {
    /// For a file that was announced with `size` bytes. The announcement is not believed: more bytes tell no more progress.
    pub(crate) fn of(size: u64) -> Self {
        let step = size.div_ceil(STEPS).max(LEAST_STEP_BYTES);
        Self { size, step, next: step }
    }

    /// Tells the host, if it is worth telling, that `done` bytes are behind.
    pub(crate) fn reached(&mut self, done: u64) {
        if let Some(per_mille) = self.worth_telling(done) {
            crate::progress(per_mille);
        }
    }

    fn worth_telling(&mut self, done: u64) -> Option<u32> {
        if done < self.next || done >= self.size {
            return None;
        }
        self.next = done.saturating_add(self.step);
        u32::try_from(u128::from(done) * 1000 / u128::from(self.size)).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_bounded_rises_and_stays_below_the_end() {
        for announced in [0, 1, 10_000_000, 60_000_000, u64::MAX] {
            let mut progress = Progress::of(announced);
            let told: Vec<_> = (0..1000).filter_map(|piece| progress.worth_telling(piece * 65_536)).collect();
            assert!(told.len() as u64 <= STEPS, "{announced}: {told:?}");
            assert!(told.is_sorted() && told.iter().all(|&per_mille| per_mille < 1000), "{announced}: {told:?}");
        }
    }

    #[test]
    fn a_small_file_tells_nothing() {
        let mut progress = Progress::of(256 * 1024);
        assert!((0..=1024).all(|piece| progress.worth_telling(piece * 256).is_none()));
    }
}
