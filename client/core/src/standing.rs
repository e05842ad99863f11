//! Rules of watched folders, as they stand now, for files that were taken in before.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::rules::{LeftOut, Rules};
use crate::source::Found;
use crate::walk::{Root, root_of};

/// The folders that a watcher watches, and the rules of each; none of anything else.
#[derive(Default)]
pub(crate) struct StandingRules {
    watched: Vec<(Root, Arc<Rules>)>,
    /// When rule files began to be read again the last time.
    read_at: Mutex<Option<Instant>>,
}

impl StandingRules {
    pub(crate) fn new(watched: Vec<(Root, Arc<Rules>)>) -> Self {
        Self { watched, read_at: Mutex::default() }
    }

    /// Whether nothing is watched.
    pub(crate) fn is_empty(&self) -> bool {
        self.watched.is_empty()
    }

    /// Why each of `files` is left out by the rules as they are now, if it is; none that was named by hand is. As when it was taken
    /// in: what leaves a root out of another one says nothing of what lies in the root. May take as long as a file system does not answer.
    pub(crate) async fn judge<F: AsRef<[Found]> + Send + 'static>(
        self: &Arc<Self>,
        files: F,
    ) -> Result<(F, Vec<Option<LeftOut>>), Error> {
        let (files, left_out, _) = self.judge_as_of(files, Duration::ZERO).await?;
        Ok((files, left_out))
    }

    /// The same by rules as they were so long ago at most, and when that was: whoever else asked since has had the files read.
    pub(crate) async fn judge_as_of<F: AsRef<[Found]> + Send + 'static>(
        self: &Arc<Self>,
        files: F,
        age_max: Duration,
    ) -> Result<(F, Vec<Option<LeftOut>>, Instant), Error> {
        let this = Arc::clone(self);
        let judged = tokio::task::spawn_blocking(move || {
            let at = this.read_again(age_max);
            let judge = |found: &Found| {
                if !found.watched {
                    return None;
                }
                let position = root_of(this.watched.iter().map(|(root, _)| root), &found.path)?;
                this.watched[position].1.left_out(&found.path, false)
            };
            let left_out = files.as_ref().iter().map(judge).collect();
            (files, left_out, at)
        });
        judged.await.map_err(|_| Error::Stopped)
    }

    /// Has rule files read again unless that began so short a time ago, and says when it did.
    fn read_again(&self, age_max: Duration) -> Instant {
        let mut read_at = self.read_at.lock().unwrap_or_else(PoisonError::into_inner);
        match *read_at {
            Some(at) if at.elapsed() < age_max => at,
            _ => {
                let now = Instant::now();
                for (_, rules) in &self.watched {
                    rules.read_again();
                }
                *read_at = Some(now);
                now
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::walk::{Met, walk};

    #[tokio::test]
    async fn rule_files_are_read_again_once_for_all_that_ask_within_a_while() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.secret"), "1").unwrap();
        let root = Root::new(folder.path()).unwrap();
        let rules = Arc::new(Rules::new(&root.path, &[]).unwrap());
        let mut files = Vec::new();
        let _ = walk(&root, &rules, |met| {
            files.extend(met.and_then(|met| if let Met::File(found) = met { Some(found) } else { None }));
            std::ops::ControlFlow::Continue(())
        });
        files.iter_mut().for_each(|found| found.watched = true);
        let standing = Arc::new(StandingRules::new(vec![(root.clone(), rules)]));
        let judge = async |age_max| standing.judge_as_of(files.clone(), age_max).await.unwrap();
        let long = Duration::from_secs(3600);
        let (_, _, first) = judge(long).await;
        fs::write(root.path.join(".gitignore"), "*.secret\n").unwrap();
        let (_, left_out, second) = judge(long).await;
        assert_eq!((left_out, second), (vec![None], first));
        let (_, left_out, now) = judge(Duration::ZERO).await;
        assert!(left_out[0].is_some() && now > first);
    }
}
