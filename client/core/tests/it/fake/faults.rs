//! What the fake does wrong, and what it saw.

use std::collections::HashSet;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use filemill_api::{ErrorBody, ErrorCode, ResultKey};

use super::analyse::Twist;
use super::majors::Speaks;

/// What the fake does wrong, and how often or for how long.
#[derive(Default)]
pub(crate) struct Faults {
    /// So many PUTs are answered with 503.
    pub(crate) busy_puts: u32,
    /// So many PUTs are answered as if the URL had expired.
    pub(crate) expired_puts: u32,
    /// So many PUTs are answered by a captive portal.
    pub(crate) portal_puts: u32,
    /// PUTs are refused, by storage itself.
    pub(crate) refused_puts: bool,
    /// API calls are not answered, until this is taken away.
    pub(crate) hang_calls: bool,
    /// Nor are calls that open uploads, while others are.
    pub(crate) hang_opens: bool,
    /// So many API calls are answered with 503.
    pub(crate) busy_calls: u32,
    /// For how many seconds these want to be left alone, as their header says.
    pub(crate) retry_after: Option<&'static str>,
    /// PUTs from this one on are not answered, until this is taken away.
    pub(crate) hang_puts_from: Option<u32>,
    /// Uploads are not processed, until this is taken away.
    pub(crate) hold_results: bool,
    /// The header `Date` of every answer, if not the time of this machine.
    pub(crate) date: Option<&'static str>,
    /// The token is not accepted.
    pub(crate) revoked: bool,
    /// Results are not streamed.
    pub(crate) no_stream: bool,
    /// Which majors of the API it speaks.
    pub(crate) speaks: Speaks,
    /// What becomes of sealed results on their way.
    pub(crate) cheat: Cheat,
    /// So many results are sealed in a batch at most, where the header has format 2.
    pub(crate) batch_of: Option<usize>,
    /// What becomes of batches, or of what the server says of them, before they are sealed.
    pub(crate) twist: Option<Twist>,
    /// The next batch is this one.
    pub(crate) instead: Option<Vec<u8>>,
    /// The next batch is cut off behind so many bytes.
    pub(crate) cut_at: Option<usize>,
    /// Of a batch that is asked for again it names the job alone that was asked for.
    pub(crate) names_only_wanted: bool,
    /// What no processor has that is needed.
    pub(crate) lacks: Vec<String>,
    /// By version 1 it tells a batch as release 0.1.0 does on the same database: as a result of its first job, with an outcome that it does
    /// not know.
    pub(crate) tells_batches_as_one: bool,
    /// A server of this version says also in version 1 which formats processors read.
    pub(crate) lists_formats_in_v1: bool,
    /// Engines log this.
    pub(crate) log: Vec<filemill_seal::LogLine>,
    /// URLs lead here.
    pub(crate) storage_elsewhere: Option<String>,
    /// The storage origins that a login is told, if not the real one.
    pub(crate) storage_origins: Option<Vec<String>>,
    /// Lose these chunks of each upload once, before it is processed.
    pub(crate) lose_chunks: Vec<u32>,
    /// So many advances are answered with this.
    pub(crate) refused_advances: (u32, Option<ErrorCode>),
    /// So many opens are answered with this.
    pub(crate) refused_opens: (u32, Option<ErrorCode>),
    /// The results of files with this index lie in storage, and are answered so often with 404 (`u32::MAX`: always).
    pub(crate) result_not_found: Option<(u32, u32)>,
    /// It knows no marks, and no call to fetch results again, nor version 2.
    pub(crate) old: bool,
    /// All results lie in storage.
    pub(crate) large_results: bool,
    /// So many downloads of results bring other bytes.
    pub(crate) damaged_downloads: u32,
    /// So many inline results are damaged on their way.
    pub(crate) damaged_inline: u32,
    /// The server has thrown away the results that are asked for again.
    pub(crate) results_gone: bool,
    /// The next page ends with an event of some upload at the last number that there is.
    pub(crate) last_cursor: bool,
    /// So many API calls are answered by a captive portal: with its page, or by sending there.
    pub(crate) portal: u32,
    /// So many times results that are asked for again are refused: there are too many requests.
    pub(crate) refused_fetches: u32,
    /// So many streams of events say without end that they are another database's.
    pub(crate) resets: u32,
}

impl Faults {
    /// What a PUT is answered that is not to succeed.
    pub(super) fn instead_of_storing(&mut self) -> Option<Response> {
        let counted = |count: &mut u32| {
            let is_left = *count > 0;
            *count -= u32::from(is_left);
            is_left
        };
        if counted(&mut self.busy_puts) {
            return Some((StatusCode::SERVICE_UNAVAILABLE, "<Error><Code>SlowDown</Code></Error>").into_response());
        }
        if counted(&mut self.expired_puts) {
            let document = "<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>";
            return Some((StatusCode::FORBIDDEN, document).into_response());
        }
        if counted(&mut self.portal_puts) {
            return Some(portal(self.portal_puts));
        }
        let document = "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>";
        self.refused_puts.then(|| (StatusCode::FORBIDDEN, document).into_response())
    }
}

/// What a captive portal answers in the server's place, one after the other.
pub(super) fn portal(left: u32) -> Response {
    let page = [("content-type", "text/html")];
    let login = "<html>log in</html>";
    match left % 5 {
        0 => (page, login).into_response(),
        1 => (StatusCode::UNAUTHORIZED, page, login).into_response(),
        2 => (StatusCode::FORBIDDEN, page, login).into_response(),
        3 => (StatusCode::NOT_FOUND, [("content-type", "application/json")], "{}").into_response(),
        _ => (StatusCode::FOUND, [("location", "http://portal.example/")]).into_response(),
    }
}

pub(super) fn refusal(refused: &mut (u32, Option<ErrorCode>)) -> Option<ErrorBody> {
    let (times, code) = refused;
    let code = code.filter(|_| *times > 0)?;
    *times -= 1;
    Some(ErrorBody { code, message: "not now".into(), hint: None })
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Cheat {
    #[default]
    None,
    /// The first two of what is sealed change places.
    Swap,
    /// Somebody who does not know the data key makes them.
    Forge,
    /// It says that it succeeded, and shows nothing.
    Withhold,
    /// Another release than the header names.
    OtherRelease,
    /// The server ends the jobs by itself.
    Quarantine,
}

#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) opens: u32,
    pub(crate) advances: u32,
    pub(crate) puts: u32,
    pub(crate) cancels: u32,
    /// Questions about one upload.
    pub(crate) asked_about: u32,
    /// Events that were asked for one at a time.
    pub(crate) read_again: u32,
    /// Streams of events.
    pub(crate) streams: u32,
    /// Results that were asked for again, and those that were said to be fetched.
    pub(crate) wanted: Vec<ResultKey>,
    pub(crate) fetched: Vec<ResultKey>,
    /// Who read events, or asked for results again.
    pub(crate) devices: HashSet<Option<String>>,
    /// Calls by version 1, and by version 2.
    pub(crate) by_major: (u32, u32),
}
