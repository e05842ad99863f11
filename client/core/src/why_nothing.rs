//! Why nothing can be sent, told once.

use std::mem::Discriminant;

use filemill_seal::PoolError;

use crate::error::Error;
use crate::event::{Event, Trouble};

/// Why nothing can be sent, said once for each kind of reason, whose text may hold the time.
#[derive(Debug, Default)]
pub(crate) struct WhyNothing(Option<(Discriminant<Error>, Option<Discriminant<PoolError>>)>);

impl WhyNothing {
    /// What to say of it now, if it was not said before.
    pub(crate) fn event(&mut self, error: &Error) -> Option<Event> {
        let of_the_pool = match error {
            Error::Pool(of_the_pool) => Some(std::mem::discriminant(of_the_pool)),
            _ => None,
        };
        let kind = (std::mem::discriminant(error), of_the_pool);
        let is_news = self.0.replace(kind) != Some(kind);
        is_news.then(|| Event::Trouble(Trouble::NothingSent { error: error.clone() }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn why_nothing_can_be_sent_is_said_once_though_its_text_changes_with_the_time() {
        let mut why = WhyNothing::default();
        let clock = |ahead_s| Error::Clock { server: String::new(), ahead_s, detail: String::new() };
        assert!(
            matches!(why.event(&clock(700_000)), Some(Event::Trouble(Trouble::NothingSent { error })) if error == clock(700_000))
        );
        assert!(why.event(&clock(700_001)).is_none());
        assert!(why.event(&Error::NoEngineFits).is_some());
        assert!(why.event(&clock(700_002)).is_some());
    }
}
