//! Rules that are written while an upload is on its way: minutes or days, if the server does not answer, or nobody runs this program.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Done, Going, Transfer, TransferEnd};
use crate::error::Error;
use crate::rules::LeftOut;
use crate::standing::StandingRules;

/// For so long what was judged is not judged again.
const HOLDS_FOR: Duration = Duration::from_secs(1);

/// The rules that the files of an upload are under, and when they were read for it last.
pub(crate) struct Judged {
    rules: Arc<StandingRules>,
    at: Option<Instant>,
}

impl Judged {
    /// By rules as they were read then.
    pub(crate) fn at(rules: &Arc<StandingRules>, at: Instant) -> Self {
        Self { rules: Arc::clone(rules), at: Some(at) }
    }

    /// By rules that nobody asked since the program was started.
    pub(crate) fn long_ago(rules: &Arc<StandingRules>) -> Self {
        Self { rules: Arc::clone(rules), at: None }
    }

    fn is_due(&self) -> bool {
        !self.rules.is_empty() && self.at.is_none_or(|at| at.elapsed() >= HOLDS_FOR)
    }
}

impl Transfer {
    /// Asks the rules again if that was a while ago. An upload of which they leave out a file by now is given up, whatever of it is
    /// stored, so that the server throws it away; the other files are sent anew. What was named by hand is under no rules.
    pub(super) async fn left_out_meanwhile(&mut self) -> Result<Option<TransferEnd>, Error> {
        if !self.rules.is_due() {
            return Ok(None);
        }
        let (_, left_out, at) = self.rules.rules.judge_as_of(Arc::clone(&self.files), HOLDS_FOR).await?;
        Ok(self.judged(at, left_out.into_iter().flatten().next()))
    }

    /// The same before the server's answer is taken in, while everything else goes on: `answer` comes back with what the rules say
    /// of it, which may take as long as a file system does not answer. The answer if the rules need not be asked.
    pub(super) fn judge_first(&self, going: &mut Going, answer: Done) -> Option<Done> {
        if !self.rules.is_due() {
            return Some(answer);
        }
        let (rules, files) = (Arc::clone(&self.rules.rules), Arc::clone(&self.files));
        going.steps.push(Box::pin(async move {
            let (_, left_out, at) = rules.judge_as_of(files, HOLDS_FOR).await?;
            Ok(Done::Judged(Box::new(answer), at, left_out.into_iter().flatten().next()))
        }));
        None
    }

    /// Takes in what the rules said; `Some` if the upload ends with it.
    pub(super) fn judged(&mut self, at: Instant, why: Option<LeftOut>) -> Option<TransferEnd> {
        self.rules.at = Some(at);
        why.map(TransferEnd::LeftOut)
    }
}
