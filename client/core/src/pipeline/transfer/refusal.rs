//! What an upload does when the server does not take it: waits, or ends.

use std::time::Duration;

use filemill_api::{ErrorBody, ErrorCode};

use super::{Done, Going, Transfer, TransferEnd};
use crate::error::Error;
use crate::event::{Event, Trouble};
use crate::reason::AgainReason;

impl Transfer {
    /// What to do about the server's refusal: wait and ask again, or end.
    pub(super) fn wait_or_end(&mut self, going: &mut Going, error: ErrorBody) -> Result<Option<TransferEnd>, Error> {
        if !may_wait(error.code) {
            return self.end_of(error).map(Some);
        }
        let wait = self.wait_for(going, &error);
        going.asking = true;
        going.steps.push(Box::pin(async move {
            tokio::time::sleep(wait).await;
            Ok(Done::Waited)
        }));
        Ok(None)
    }

    /// Waits if that may help; `Some` if the transfer ends instead.
    pub(super) async fn refused(&mut self, error: ErrorBody, going: &mut Going) -> Result<Option<TransferEnd>, Error> {
        if !may_wait(error.code) {
            return self.end_of(error).map(Some);
        }
        let wait = self.wait_for(going, &error);
        tokio::time::sleep(wait).await;
        Ok(None)
    }

    fn wait_for(&self, going: &mut Going, error: &ErrorBody) -> Duration {
        let wait = going.backoff.delay();
        if going.backoff.attempts() == 2 {
            // Nobody waits for this to be read.
            let trouble = Trouble::UploadRefused { upload: self.upload.id, refusal: error.clone() };
            self.pipeline.events.try_tell(Event::Trouble(trouble));
        }
        wait
    }

    fn end_of(&self, error: ErrorBody) -> Result<TransferEnd, Error> {
        match error.code {
            ErrorCode::NotFound if self.opened => Ok(TransferEnd::Abandoned(AgainReason::UploadUnknown)),
            // What it was made for is gone, as a release that a processor brought may be at any moment: its files are sent to
            // what there is now.
            ErrorCode::NotFound => Ok(TransferEnd::Abandoned(AgainReason::Refused { message: error.message })),
            _ => Err(Error::Refused { server: self.pipeline.api.server().to_owned(), body: error }),
        }
    }
}

fn may_wait(code: ErrorCode) -> bool {
    matches!(code, ErrorCode::OverQuota | ErrorCode::Unavailable | ErrorCode::Internal)
}
