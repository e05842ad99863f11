//! The file as the guest sees it, whatever its contract.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::hashes::{Hash, HashAlgorithm, Hasher, Passing, TOO_LATE};
use super::stop::Stop;
use crate::backend::{Access, InputEnd, InputSource, Job};

/// Hands the source's bytes to the guest, and remembers how the input ended.
pub(crate) struct GuestInput {
    source: Box<dyn InputSource>,
    access: Access,
    size: u64,
    most_bytes: usize,
    /// Bytes that the guest was given, or had hashed for it.
    bytes_read: u64,
    waited: InputWait,
    state: State,
    passing: Passing,
}

/// Time spent waiting for the source. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct InputWait(Arc<AtomicU64>);

impl InputWait {
    fn add(&self, time: Duration) {
        self.0.fetch_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(super) fn time(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Relaxed))
    }
}

enum State {
    Open,
    ReadToEnd,
    Ended(InputError),
}

/// Why a guest gets no more bytes. It is told so once more on every further `read`, and may end in its own way; what it
/// then returns does not count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum InputError {
    Void(String),
    Cancelled,
}

/// Bytes for the guest, or why it gets none; or why the run has to end here.
pub(crate) type Given<T> = Result<Result<T, InputError>, Stop>;

impl GuestInput {
    pub(super) fn new(source: Box<dyn InputSource>, job: &Job, most_bytes: usize) -> Self {
        Self {
            source,
            access: job.access,
            size: job.size,
            most_bytes: most_bytes.max(1),
            bytes_read: 0,
            waited: InputWait::default(),
            state: State::Open,
            passing: Passing::default(),
        }
    }

    /// The file's announced length in bytes.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Waits for the next 1 to `max` bytes (none: the end of the file), or says why there are none. Fails where the
    /// run has to end here.
    pub(crate) fn read(&mut self, max: u64) -> Given<Bytes> {
        if max == 0 {
            // An empty list would look like the end of the file.
            return Err(Stop::Misuse(
                "the engine asked `read` for 0 bytes (hint: an empty list is the end of the file)",
            ));
        }
        match &self.state {
            State::Open => {}
            State::ReadToEnd => return Ok(Ok(Bytes::new())),
            State::Ended(why) => return Ok(Err(why.clone())),
        }
        let max = self.capped(max);
        let answer = self.ask(|source| source.read(max));
        let given = self.given(answer, max)?;
        if let Ok(bytes) = &given {
            if bytes.is_empty() {
                self.state = State::ReadToEnd;
            }
            self.passing.update(bytes);
        }
        Ok(given)
    }

    /// Waits for at most `max` bytes from `offset` on.
    pub(crate) fn read_at(&mut self, offset: u64, max: u64) -> Given<Bytes> {
        if self.access != Access::Seekable {
            return Err(Stop::Misuse(
                "the engine called `read-at` on a streaming input (hint: let `describe` ask for `seekable`)",
            ));
        }
        if let State::Ended(why) = &self.state {
            return Ok(Err(why.clone()));
        }
        let max = self.capped(max.min(self.size.saturating_sub(offset)));
        if max == 0 {
            return Ok(Ok(Bytes::new()));
        }
        let answer = self.ask(|source| source.read_at(offset, max));
        self.given(answer, max)
    }

    /// Starts to hash what `read` passes.
    pub(crate) fn hash(&mut self, algorithm: HashAlgorithm) -> Result<(), Stop> {
        if self.bytes_read == 0 {
            self.passing.start(algorithm);
        } else if self.passing.hash(algorithm).is_none() && !self.is_hashed_otherwise(algorithm) {
            return Err(TOO_LATE);
        }
        Ok(())
    }

    /// The hash of the whole file. `check` is asked between pieces whether to go on.
    pub(crate) fn digest(
        &mut self,
        algorithm: HashAlgorithm,
        mut check: impl FnMut(Duration) -> Result<(), Stop>,
    ) -> Given<Hash> {
        if let (HashAlgorithm::Sha256, Some(known)) = (algorithm, self.source.sha256()) {
            return Ok(Ok(known));
        }
        if self.access == Access::Seekable {
            return self.digest_by_offset(algorithm, check);
        }
        self.hash(algorithm)?;
        loop {
            match self.read(u64::MAX)? {
                Ok(bytes) if bytes.is_empty() => break,
                Ok(_) => check(self.waited.time())?,
                Err(why) => return Ok(Err(why)),
            }
        }
        self.passing.hash(algorithm).map(Ok).ok_or(TOO_LATE)
    }

    fn digest_by_offset(
        &mut self,
        algorithm: HashAlgorithm,
        mut check: impl FnMut(Duration) -> Result<(), Stop>,
    ) -> Given<Hash> {
        if let (State::ReadToEnd, Some(hash)) = (&self.state, self.passing.hash(algorithm)) {
            return Ok(Ok(hash));
        }
        let mut hasher = Hasher::new(algorithm);
        let mut offset = 0;
        loop {
            match self.read_at(offset, u64::MAX)? {
                Ok(bytes) if bytes.is_empty() => return Ok(Ok(hasher.hash())),
                Ok(bytes) => {
                    hasher.update(&bytes);
                    offset += bytes.len() as u64;
                    check(self.waited.time())?;
                }
                Err(why) => return Ok(Err(why)),
            }
        }
    }

    fn is_hashed_otherwise(&self, algorithm: HashAlgorithm) -> bool {
        self.access == Access::Seekable || (algorithm == HashAlgorithm::Sha256 && self.source.sha256().is_some())
    }

    fn capped(&self, max: u64) -> usize {
        usize::try_from(max).map_or(self.most_bytes, |max| max.min(self.most_bytes))
    }

    /// What the source answers; the time that it takes is the input's.
    fn ask(&mut self, ask: impl FnOnce(&mut dyn InputSource) -> Result<Bytes, InputEnd>) -> Result<Bytes, InputEnd> {
        let asked = Instant::now();
        let answer = ask(&mut *self.source);
        self.waited.add(asked.elapsed());
        answer
    }

    fn given(&mut self, answer: Result<Bytes, InputEnd>, max: usize) -> Given<Bytes> {
        let why = match answer {
            Ok(bytes) if bytes.len() > max => {
                let given = bytes.len();
                return Err(Stop::Host(format!("the input source gave {given} bytes where {max} were asked for")));
            }
            Ok(bytes) => {
                self.bytes_read += bytes.len() as u64;
                return Ok(Ok(bytes));
            }
            Err(InputEnd::Void(reason)) => InputError::Void(reason),
            Err(InputEnd::Cancelled) => InputError::Cancelled,
            Err(InputEnd::Failed(reason)) => return Err(Stop::Host(reason)),
            Err(InputEnd::TooOften) => return Err(Stop::ReadsBackAndForth),
        };
        self.state = State::Ended(why.clone());
        Ok(Err(why))
    }

    /// Why the input ended early, where it did.
    pub(crate) fn ended(&self) -> Option<&InputError> {
        match &self.state {
            State::Ended(why) => Some(why),
            State::Open | State::ReadToEnd => None,
        }
    }

    pub(super) fn bytes_read(&self) -> u64 {
        self.bytes_read
    }

    pub(super) fn read_to_end(&self) -> bool {
        matches!(self.state, State::ReadToEnd)
    }

    pub(super) fn waited(&self) -> Duration {
        self.waited.time()
    }

    /// The same, for who looks on from outside the store.
    pub(super) fn wait(&self) -> InputWait {
        self.waited.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Script(Vec<Result<Bytes, InputEnd>>);

    impl InputSource for Script {
        fn read(&mut self, _max: usize) -> Result<Bytes, InputEnd> {
            assert!(!self.0.is_empty(), "it was asked after its end");
            self.0.remove(0)
        }
    }

    fn input(script: Vec<Result<Bytes, InputEnd>>) -> GuestInput {
        GuestInput::new(Box::new(Script(script)), &Job::default(), 4)
    }

    fn digest(input: &mut GuestInput, algorithm: HashAlgorithm) -> Given<Hash> {
        input.digest(algorithm, |_| Ok(()))
    }

    /// The file `abcdefgh`, by offset too.
    struct Seekable(Bytes);

    impl InputSource for Seekable {
        fn read(&mut self, max: usize) -> Result<Bytes, InputEnd> {
            self.0.read(max)
        }

        fn read_at(&mut self, offset: u64, max: usize) -> Result<Bytes, InputEnd> {
            let file = Bytes::from_static(b"abcdefgh").split_off(offset as usize);
            Ok(file.slice(..max.min(file.len())))
        }
    }

    fn seekable() -> GuestInput {
        let job = Job { access: Access::Seekable, size: 8, ..Job::default() };
        GuestInput::new(Box::new(Seekable("abcdefgh".into())), &job, 4)
    }

    #[test]
    fn a_source_is_not_asked_again_after_the_end() {
        let mut input = input(vec![Ok("abcd".into()), Ok(Bytes::new())]);
        assert_eq!(input.read(u64::MAX), Ok(Ok("abcd".into())));
        for _ in 0..3 {
            assert_eq!(input.read(9), Ok(Ok(Bytes::new())));
        }
        assert!(input.read_to_end());
        assert_eq!(input.bytes_read(), 4);
    }

    #[test]
    fn a_void_input_stays_void() {
        let mut input = input(vec![Ok("a".into()), Err(InputEnd::Void("it shrank".into()))]);
        assert_eq!(input.read(9), Ok(Ok("a".into())));
        let void = InputError::Void("it shrank".into());
        for _ in 0..3 {
            assert_eq!(input.read(9), Ok(Err(void.clone())));
        }
        assert_eq!(input.ended(), Some(&void));
        assert!(!input.read_to_end());
    }

    #[test]
    fn a_source_that_gives_too_much_fails_the_host_and_not_the_engine() {
        let answer = input(vec![Ok("abcde".into())]).read(9);
        assert!(matches!(answer, Err(Stop::Host(_))), "{answer:?}");
    }

    #[test]
    fn a_digest_is_that_of_the_whole_file_however_much_was_read() {
        let parts = || vec![Ok("abcd".into()), Ok("efgh".into()), Ok(Bytes::new())];
        let blake3 = *blake3::hash(b"abcdefgh").as_bytes();
        // Nothing read; asked for before; read to the end.
        assert_eq!(digest(&mut input(parts()), HashAlgorithm::Blake3), Ok(Ok(blake3)));
        for reads in 1..=3 {
            let mut input = input(parts());
            input.hash(HashAlgorithm::Blake3).expect("in time");
            for _ in 0..reads {
                input.read(4).expect("goes on").expect("bytes");
            }
            assert_eq!(digest(&mut input, HashAlgorithm::Blake3), Ok(Ok(blake3)));
            assert_eq!(digest(&mut input, HashAlgorithm::Blake3), Ok(Ok(blake3)), "again");
            assert_eq!(input.read(4), Ok(Ok(Bytes::new())), "what was hashed is read");
        }
    }

    #[test]
    fn a_hash_that_is_asked_for_too_late_ends_the_run() {
        let mut input = input(vec![Ok("abcd".into())]);
        input.read(4).expect("goes on").expect("bytes");
        assert_eq!(input.hash(HashAlgorithm::Sha256), Err(TOO_LATE));
        assert_eq!(digest(&mut input, HashAlgorithm::Sha256), Err(TOO_LATE));
    }

    #[test]
    fn a_seekable_input_is_hashed_at_any_time_and_stays_where_it_is() {
        let mut input = seekable();
        assert_eq!(input.read(3), Ok(Ok("abc".into())));
        let blake3 = *blake3::hash(b"abcdefgh").as_bytes();
        assert_eq!(digest(&mut input, HashAlgorithm::Blake3), Ok(Ok(blake3)));
        assert_eq!(input.read(9), Ok(Ok("defg".into())));
        assert_eq!(input.read_at(6, u64::MAX), Ok(Ok("gh".into())));
        assert_eq!(input.read_at(8, 1), Ok(Ok(Bytes::new())));
        assert_eq!(input.read_at(u64::MAX, u64::MAX), Ok(Ok(Bytes::new())));
    }

    #[test]
    fn a_streaming_input_is_not_read_by_offset() {
        assert!(matches!(input(Vec::new()).read_at(0, 1), Err(Stop::Misuse(_))));
    }
}
