//! Rules that are written while an upload is on its way: minutes or days, if the server does not answer, or nobody runs this program.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Transfer, TransferEnd};
use crate::error::Error;
use crate::standing::StandingRules;

/// For so long what was judged is not judged again.
const HOLDS_FOR: Duration = Duration::from_secs(1);

/// The rules that the files of an upload are under, and when they were asked last.
pub(crate) struct Judged {
    rules: Arc<StandingRules>,
    at: Option<Instant>,
}

impl Judged {
    /// By rules that were just asked.
    pub(crate) fn now(rules: &Arc<StandingRules>) -> Self {
        Self { rules: Arc::clone(rules), at: Some(Instant::now()) }
    }

    /// By rules that nobody asked since the program was started.
    pub(crate) fn long_ago(rules: &Arc<StandingRules>) -> Self {
        Self { rules: Arc::clone(rules), at: None }
    }
}

impl Transfer {
    /// Asks the rules again if that was a while ago. An upload of which they leave out a file by now is given up, whatever of it is
    /// stored, so that the server throws it away; the other files are sent anew. What was named by hand is under no rules.
    pub(super) async fn left_out_meanwhile(&mut self) -> Result<Option<TransferEnd>, Error> {
        let Judged { rules, at } = &mut self.rules;
        if rules.is_empty() || at.is_some_and(|at| at.elapsed() < HOLDS_FOR) {
            return Ok(None);
        }
        let (_, judged) = rules.judge(Arc::clone(&self.files)).await?;
        *at = Some(Instant::now());
        let why = judged.into_iter().flatten().next();
        Ok(why.map(|why| TransferEnd::LeftOut(format!("a file of it is left out by now: {}", why.said()))))
    }
}
