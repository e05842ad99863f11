//! Whether an upload is to be run at all.

use std::sync::Arc;

use filemill_api::LeasedUpload;

use super::header::NotAdmitted;
use super::upload::Upload;
use super::uploads::Uploads;
use crate::net::{Server, Storage};
use crate::pool::Keys;
use crate::telemetry::Counters;

/// Admits uploads whose headers this pool's identities open, and which last.
pub(crate) struct Admission {
    uploads: Uploads,
    storage: Arc<Storage>,
    server: Arc<Server>,
    keys: Arc<Keys>,
    counters: Arc<Counters>,
}

impl Admission {
    pub(crate) fn new(storage: Arc<Storage>, server: Arc<Server>, keys: Arc<Keys>, counters: Arc<Counters>) -> Self {
        Self { uploads: Uploads::new(), storage, server, keys, counters }
    }

    /// The upload of a lease; where no identity opens its header, after the pool's folder was read again. Cancel safe.
    pub(crate) async fn admit(&self, leased: &LeasedUpload) -> Result<Arc<Upload>, NotAdmitted> {
        match self.try_admit(leased).await {
            Err(NotAdmitted::UnknownKey) if self.keys.look_again().await => self.try_admit(leased).await,
            admitted => admitted,
        }
    }

    async fn try_admit(&self, leased: &LeasedUpload) -> Result<Arc<Upload>, NotAdmitted> {
        let (clock, opened) = (self.server.clock(), &self.counters.headers_opened);
        self.uploads.admit(leased, &self.storage, &self.keys.identities(), clock, opened).await
    }
}
