//! Waiting for a state: asked again and again, with a limit and a name for what was awaited.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// Between two questions. Short beside what is awaited (a process, a socket), long beside the cost of asking.
const INTERVAL: Duration = Duration::from_millis(10);

/// Asks `state` until it answers, and returns the answer.
///
/// # Errors
///
/// When `state` fails (at once), or has not answered within `limit`; the error says `what` was awaited.
pub fn until<T>(what: &str, limit: Duration, mut state: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let end = Instant::now() + limit;
    loop {
        if let Some(answer) = state().with_context(|| format!("while waiting for {what}"))? {
            return Ok(answer);
        }
        if Instant::now() >= end {
            bail!("waited {} s for {what}, in vain", limit.as_secs_f32());
        }
        thread::sleep(INTERVAL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_comes_back_and_a_limit_names_what_was_awaited() {
        let mut asked = 0;
        let answer = until("three questions", Duration::from_secs(5), || {
            asked += 1;
            Ok((asked == 3).then_some(asked))
        });
        assert_eq!(answer.expect("answered"), 3);
        let error = until::<()>("nothing", Duration::ZERO, || Ok(None)).expect_err("never");
        assert!(error.to_string().contains("for nothing"), "{error}");
    }
}
