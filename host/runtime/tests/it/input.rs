//! Inputs that end early, wait, or misbehave.

use std::sync::mpsc;
use std::time::Duration;

use bytes::Bytes;
use filemill_runtime::{InputEnd, InputSource, Limits, Outcome, TimeLimit};

use crate::harness::{failure, install, job, limits, resident_kib};
use filemill_guests::guest;

/// Gives some bytes, then ends.
struct EndsEarly {
    given: bool,
    end: InputEnd,
}

impl InputSource for EndsEarly {
    fn read(&mut self, _max: usize) -> Result<Bytes, InputEnd> {
        if self.given {
            return Err(self.end.clone());
        }
        self.given = true;
        Ok(Bytes::from_static(b"abc"))
    }
}

fn ends(end: InputEnd) -> EndsEarly {
    EndsEarly { given: false, end }
}

#[test]
fn a_void_file_gives_no_report_whatever_the_engine_says() {
    for guest in [guest!(ignores_input_errors), guest!(traps_on_input_errors), guest!(counts), guest!(counts_a_stream)]
    {
        let void = ends(InputEnd::Void("it shrank to 3 bytes".into()));
        let run = install(&guest).run(&job(10), void, &limits(), ());
        let message = failure(&run, Outcome::Void);
        assert_eq!(message, "the file was not sent whole: it shrank to 3 bytes");
        assert!(!run.resources.read_to_end);
    }
}

#[test]
fn an_input_that_is_cancelled_cancels_the_run() {
    for guest in [guest!(ignores_input_errors), guest!(counts_a_stream)] {
        let run = install(&guest).run(&job(10), ends(InputEnd::Cancelled), &limits(), ());
        failure(&run, Outcome::Cancelled);
    }
}

#[test]
fn an_input_that_this_host_cannot_get_is_not_blamed_on_the_engine() {
    for guest in [guest!(ignores_input_errors), guest!(counts_a_stream)] {
        let failed = ends(InputEnd::Failed("chunk 7 does not verify".into()));
        let run = install(&guest).run(&job(10), failed, &limits(), ());
        assert_eq!(failure(&run, Outcome::HostFailed), "chunk 7 does not verify");
        assert!(run.outcome().retryable());
    }
}

#[test]
fn an_input_that_gives_more_than_was_asked_is_the_hosts_fault() {
    struct Generous;
    impl InputSource for Generous {
        fn read(&mut self, max: usize) -> Result<Bytes, InputEnd> {
            Ok(Bytes::from(vec![0; max + 1]))
        }
    }
    let run = install(&guest!(ignores_input_errors)).run(&job(10), Generous, &limits(), ());
    failure(&run, Outcome::HostFailed);
}

#[test]
fn an_input_that_panics_costs_its_own_run_only() {
    struct Panics;
    impl InputSource for Panics {
        fn read(&mut self, _max: usize) -> Result<Bytes, InputEnd> {
            panic!("a bug of the host")
        }
    }
    for guest in [guest!(counts), guest!(counts_a_stream)] {
        let release = install(&guest);
        // More often than there are slots, and stacks in them: a panic gives back what its run had.
        for _ in 0..200 {
            let run = release.run(&job(10), Panics, &limits(), ());
            assert!(failure(&run, Outcome::HostFailed).contains("a bug of the host"));
        }
        let run = release.run(&job(3), Bytes::from_static(b"abc"), &limits(), ());
        assert_eq!(run.outcome(), Outcome::Succeeded);
    }
}

#[test]
fn waiting_for_input_counts_toward_no_limit() {
    /// An uploader that is silent for longer than the run may take.
    struct Slow {
        never: mpsc::Receiver<()>,
        left: usize,
    }
    impl InputSource for Slow {
        fn read(&mut self, _max: usize) -> Result<Bytes, InputEnd> {
            if self.left == 0 {
                return Ok(Bytes::new());
            }
            self.left -= 1;
            self.never.recv_timeout(Duration::from_millis(400)).expect_err("nothing is ever sent");
            Ok(Bytes::from_static(b"abc"))
        }
    }
    let limits = Limits { wall_time: TimeLimit { base: Duration::from_secs(1), per_mib: Duration::ZERO }, ..limits() };
    for guest in [guest!(counts), guest!(counts_a_stream)] {
        let (_kept, never) = mpsc::channel();
        let run = install(&guest).run(&job(9), Slow { never, left: 3 }, &limits, ());
        assert_eq!(run.outcome(), Outcome::Succeeded, "{:?}", run.result);
        assert!(run.resources.input_wait >= Duration::from_millis(1200));
        assert!(run.resources.wall_time < Duration::from_secs(1));
    }
}

#[test]
fn a_gib_goes_through_an_engine_in_constant_memory() {
    /// The same piece again and again.
    struct Long {
        piece: Bytes,
        left: u64,
    }
    impl InputSource for Long {
        fn read(&mut self, max: usize) -> Result<Bytes, InputEnd> {
            let bytes = self.piece.slice(..max.min(self.piece.len()).min(self.left as usize));
            self.left -= bytes.len() as u64;
            Ok(bytes)
        }
    }
    const SIZE: u64 = 1 << 30;
    let piece = Bytes::from(vec![7; 1 << 20]);
    for guest in [guest!(counts), guest!(counts_a_stream)] {
        let release = install(&guest);
        let before = resident_kib();
        let input = Long { piece: piece.clone(), left: SIZE };
        let run = release.run(&job(SIZE), input, &Limits { memory_bytes: 4 << 20, ..Limits::default() }, ());
        assert_eq!(run.result.expect("it succeeds").json, format!("{{\"bytes\":{SIZE}}}"));
        let after = resident_kib();
        assert!(after < before + (16 << 10), "{before} KiB resident before, {after} KiB after");
    }
}
