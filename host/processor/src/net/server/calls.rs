//! The calls that the two versions of the API have in different words. Nothing above the network layer knows of version 1.

use filemill_api::v1::{self, NotInVersion1};
use filemill_api::{
    ChunksAnswer, ChunksRequest, CompleteAnswer, CompleteRequest, LeaseAnswer, LeaseRequest, MissingRequest,
    ReportAnswer, ReportRequest, ResultUrlRequest, ResultUrls, ReturnRequest, paths,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A call that version 1 has in other words.
pub(crate) trait Call: Serialize + Clone {
    /// Where it is posted, in version 2.
    const PATH: &'static str;

    /// What it is answered with.
    type Answer: DeserializeOwned;

    /// The same call in version 1.
    type Old: Serialize;

    /// What that is answered with.
    type OldAnswer: DeserializeOwned + Into<Self::Answer>;

    /// The same call in version 1.
    ///
    /// # Errors
    ///
    /// [`NotInVersion1`], where that has no words for it.
    fn old(&self) -> Result<Self::Old, NotInVersion1>;
}

/// Calls for all of which version 1 has words.
macro_rules! calls {
    ($($request:ident -> $answer:ident, $old_answer:ty, $path:ident;)+) => {
        $(impl Call for $request {
            const PATH: &'static str = paths::$path;
            type Answer = $answer;
            type Old = v1::$request;
            type OldAnswer = $old_answer;

            fn old(&self) -> Result<Self::Old, NotInVersion1> {
                Ok(self.clone().into())
            }
        })+
    };
}

calls! {
    LeaseRequest -> LeaseAnswer, v1::LeaseAnswer, LEASES;
    ChunksRequest -> ChunksAnswer, ChunksAnswer, LEASE_CHUNKS;
    ReportRequest -> ReportAnswer, v1::ReportAnswer, LEASE_REPORT;
    ReturnRequest -> ReportAnswer, v1::ReportAnswer, LEASE_RETURN;
    MissingRequest -> ReportAnswer, v1::ReportAnswer, LEASE_MISSING;
    ResultUrlRequest -> ResultUrls, ResultUrls, RESULT_URLS;
}

impl Call for CompleteRequest {
    const PATH: &'static str = paths::RESULTS;
    type Answer = CompleteAnswer;
    type Old = v1::CompleteRequest;
    type OldAnswer = CompleteAnswer;

    fn old(&self) -> Result<Self::Old, NotInVersion1> {
        self.clone().try_into()
    }
}
