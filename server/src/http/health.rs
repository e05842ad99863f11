//! Whether the server can work, as far as that was found out a moment ago.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use filemill_api::ErrorBody;

use super::problem::full;
use crate::maintenance::Maintenance;

/// How long the database counts as it was.
const HEALTH_REMEMBERED: Duration = Duration::from_millis(200);
/// The same while somebody asks it again.
const HEALTH_KNOWN: Duration = Duration::from_secs(30);

/// What the database answered last. Whoever asks often gets that: the question makes no more work than its answer is worth.
#[derive(Default)]
pub(super) struct Health {
    /// Held by who asks.
    asking: tokio::sync::Mutex<()>,
    last: Mutex<Option<(Instant, Result<(), ErrorBody>)>>,
}

impl Health {
    pub(super) async fn ask(&self, maintenance: &Maintenance) -> Result<(), ErrorBody> {
        let _asking = self.asking.lock().await;
        match self.last(HEALTH_REMEMBERED) {
            Some(answer) => answer,
            None => self.look(maintenance).await,
        }
    }

    /// Asks if nobody does; what came last otherwise.
    pub(super) async fn ask_at_once(&self, maintenance: &Maintenance) -> Result<(), ErrorBody> {
        if let Some(answer) = self.last(HEALTH_REMEMBERED) {
            return answer;
        }
        match self.asking.try_lock() {
            Ok(_asking) => self.look(maintenance).await,
            Err(_) => self.last(HEALTH_KNOWN).unwrap_or_else(|| Err(full().into_body())),
        }
    }

    async fn look(&self, maintenance: &Maintenance) -> Result<(), ErrorBody> {
        let answer = maintenance.health().await;
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), answer.clone()));
        answer
    }

    fn last(&self, within: Duration) -> Option<Result<(), ErrorBody>> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.as_ref().filter(|(since, _)| since.elapsed() < within).map(|(_, answer)| answer.clone())
    }
}
