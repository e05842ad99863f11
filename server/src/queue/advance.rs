//! Advancing uploads, many in one transaction: chunks are stored, jobs become ready, and get their places.

use filemill_api::limits::MAX_UPLOADS_PER_REQUEST;
use filemill_api::{AdvanceRequest, ErrorBody};

use super::batch::AdvanceAsk;
use super::coalesce;
use super::handle::Queue;
use super::types::Advanced;
use crate::accounts::Caller;
use crate::refusal::too_many;

impl Queue {
    /// Records what is stored of the caller's uploads, each by itself, and answers where more goes.
    ///
    /// # Errors
    /// `bad_request` for the whole: too many. For one: `bad_request`; `not_found`: no such upload of this caller.
    pub async fn advance(
        &self,
        caller: &Caller,
        request: AdvanceRequest,
    ) -> Result<Vec<Result<Advanced, ErrorBody>>, ErrorBody> {
        if request.uploads.len() > MAX_UPLOADS_PER_REQUEST {
            return Err(too_many("uploads", MAX_UPLOADS_PER_REQUEST));
        }
        let asks = request.uploads.into_iter().map(|upload| AdvanceAsk { member: caller.member, upload }).collect();
        let answers = self.inner.advancing.ask(coalesce::owner(caller), asks).await?;
        Ok(answers.into_iter().map(|answer| answer.advanced).collect())
    }
}
