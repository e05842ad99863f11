//! From what is said of jobs to what their uploader can open, in the format of the header.

use filemill_api::JobOutcome;
use filemill_seal::{Format, ResultBody, ResultError, seal_batch, seal_result};

use super::body::{too_long, wire};
use crate::input::Upload;

/// Results in one sealed file.
pub(super) struct Sealed {
    /// The jobs that they are of, in their order.
    pub(super) jobs: Vec<JobOutcome>,
    pub(super) body: Vec<u8>,
}

/// Seals a result in a file of its own, or what can be said in its place where it is too long for one. Takes about 100 µs.
///
/// # Errors
///
/// A text, where even the failure cannot be sealed.
pub(super) fn seal_alone(upload: &Upload, body: ResultBody) -> Result<Sealed, String> {
    let sealed = match seal_one(upload, &body) {
        Err(ResultError::TooLong { found }) => seal_one(upload, &too_long(body, found)),
        sealed => sealed,
    };
    sealed.map_err(|error| error.to_string())
}

fn seal_one(upload: &Upload, body: &ResultBody) -> Result<Sealed, ResultError> {
    let (header, bodies) = (&upload.header, std::slice::from_ref(body));
    match header.format {
        Format::One => {
            let sealed = seal_result(body, &header.key, &header.uploader)?;
            Ok(Sealed { jobs: outcomes(upload, bodies), body: sealed })
        }
        Format::Two => seal_together(upload, bodies),
    }
}

/// Seals results to a header of format 2 as one batch. They are in the order of their jobs.
///
/// # Errors
///
/// [`ResultError`], where any of them cannot be sealed.
pub(super) fn seal_together(upload: &Upload, bodies: &[ResultBody]) -> Result<Sealed, ResultError> {
    let body = seal_batch(bodies, &upload.header)?;
    Ok(Sealed { jobs: outcomes(upload, bodies), body })
}

fn outcomes(upload: &Upload, bodies: &[ResultBody]) -> Vec<JobOutcome> {
    let of = |body: &ResultBody| JobOutcome { job: upload.number(body.task, body.index), outcome: wire(body.outcome) };
    bodies.iter().map(of).collect()
}
