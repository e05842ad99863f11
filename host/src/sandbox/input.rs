//! The file as the guest sees it, whatever its contract.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::Stop;
use crate::job::{InputEnd, InputSource};

/// Hands the source's bytes to the guest, and remembers how the input ended.
pub(crate) struct GuestInput {
    source: Box<dyn InputSource>,
    most_bytes: usize,
    bytes_read: u64,
    waited: Duration,
    state: State,
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

impl GuestInput {
    pub(super) fn new(source: Box<dyn InputSource>, most_bytes: usize) -> Self {
        Self { source, most_bytes: most_bytes.max(1), bytes_read: 0, waited: Duration::ZERO, state: State::Open }
    }

    /// Waits for the next 1 to `max` bytes (none: the end of the file), or says why there are none. Fails where the
    /// run has to end here.
    pub(crate) fn read(&mut self, max: u64) -> Result<Result<Bytes, InputError>, Stop> {
        if max == 0 {
            // An empty list would look like the end of the file.
            return Err(Stop::ReadOfNothing);
        }
        match &self.state {
            State::Open => {}
            State::ReadToEnd => return Ok(Ok(Bytes::new())),
            State::Ended(why) => return Ok(Err(why.clone())),
        }
        let max = usize::try_from(max).map_or(self.most_bytes, |max| max.min(self.most_bytes));
        let asked = Instant::now();
        let answer = self.source.read(max);
        self.waited += asked.elapsed();
        let why = match answer {
            Ok(bytes) if bytes.len() > max => {
                let given = bytes.len();
                return Err(Stop::Host(format!("the input source gave {given} bytes where {max} were asked for")));
            }
            Ok(bytes) => {
                if bytes.is_empty() {
                    self.state = State::ReadToEnd;
                }
                self.bytes_read += bytes.len() as u64;
                return Ok(Ok(bytes));
            }
            Err(InputEnd::Void(reason)) => InputError::Void(reason),
            Err(InputEnd::Cancelled) => InputError::Cancelled,
            Err(InputEnd::Failed(reason)) => return Err(Stop::Host(reason)),
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
        self.waited
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
        GuestInput::new(Box::new(Script(script)), 4)
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
}
