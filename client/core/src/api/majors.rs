//! Which major of the API the server speaks. Each call is made in version 2 first, and in version 1 where a server does not know its path.
//!
//! A status of 404 may be an honest answer of a server that knows the path well, such as of an upload that it does not have. So the same call is
//! made in the other major, whose answer tells: one that is 404, too, is honest, and any other shows which major is spoken. That decides it also
//! behind a load balancer, where servers of release 0.1.0 and of this one answer in turn: each answer is some server's own.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use filemill_api::paths::in_v1;
use filemill_api::{ErrorCode, EventKind, EventPage, v1};
use reqwest::Method;

use super::attempt::Attempt;
use crate::error::Error;

/// For so long nothing is asked in version 2 that version 1 can say, once a server has shown that it speaks only that.
const OLD_FOR: Duration = Duration::from_secs(60);

/// A major of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Major {
    One,
    Two,
}

impl Major {
    fn other(self) -> Self {
        match self {
            Self::One => Self::Two,
            Self::Two => Self::One,
        }
    }
}

/// What is known of the majors that the server speaks.
#[derive(Default)]
pub(super) struct Majors {
    /// When it showed last that it speaks version 1 only.
    old_at: Mutex<Option<Instant>>,
}

impl Majors {
    /// Whether the server has shown a short time ago that it speaks version 1 only.
    pub(super) fn is_old(&self) -> bool {
        let old_at = self.old_at.lock().unwrap_or_else(PoisonError::into_inner);
        old_at.is_some_and(|at| at.elapsed() < OLD_FOR)
    }

    /// Whether it showed that longer ago, so that it is to be found out whether it still does.
    pub(super) fn is_in_doubt(&self) -> bool {
        let old_at = self.old_at.lock().unwrap_or_else(PoisonError::into_inner);
        old_at.is_some_and(|at| at.elapsed() >= OLD_FOR)
    }

    /// It answered in this major, and did not know the path in the other if that was asked first.
    fn answered(&self, major: Major, is_second: bool) {
        let mut old_at = self.old_at.lock().unwrap_or_else(PoisonError::into_inner);
        match (major, is_second) {
            (Major::Two, _) => *old_at = None,
            (Major::One, true) => *old_at = Some(Instant::now()),
            // That it knows version 1 says nothing of version 2.
            (Major::One, false) => {}
        }
    }
}

/// A call, in the words of both majors.
pub(super) struct Asked<'a> {
    method: Method,
    path: &'a str,
    path_in_v1: Option<String>,
    body: Option<Bytes>,
    in_v1: InV1<'a>,
    /// Version 2 first, also where the server spoke version 1 a moment ago: what it answers in that says less.
    is_new_first: bool,
}

/// What a call says in version 1.
enum InV1<'a> {
    /// The same.
    Same,
    /// This, which is made when it is needed.
    Other(Box<dyn Fn() -> Option<Bytes> + Send + Sync + 'a>),
    /// Version 1 has no words for it.
    Nothing,
}

impl<'a> Asked<'a> {
    /// A call without a body, which is the same in both majors but for its path.
    pub(super) fn get(path: &'a str) -> Self {
        Self { method: Method::GET, path, path_in_v1: None, body: None, in_v1: InV1::Same, is_new_first: false }
    }

    /// A call with a body that is the same in both majors.
    pub(super) fn post(path: &'a str, body: Bytes) -> Self {
        Self { method: Method::POST, body: Some(body), ..Self::get(path) }
    }

    /// With another body in version 1.
    pub(super) fn with_body_in_v1(self, body: impl Fn() -> Option<Bytes> + Send + Sync + 'a) -> Self {
        Self { in_v1: InV1::Other(Box::new(body)), ..self }
    }

    /// Not asked in version 1, which has no words for it.
    pub(super) fn not_in_v1(self) -> Self {
        Self { in_v1: InV1::Nothing, ..self }
    }

    /// With another path in version 1: that of this call there.
    pub(super) fn with_path_in_v1(self, path: &str) -> Self {
        Self { path_in_v1: Some(in_v1(path)), ..self }
    }

    /// Asked in version 2 first in any case.
    pub(super) fn new_first(self) -> Self {
        Self { is_new_first: true, ..self }
    }

    /// Whether version 1 has words for it.
    pub(super) fn is_in_v1(&self) -> bool {
        !matches!(self.in_v1, InV1::Nothing)
    }

    pub(super) fn has_body(&self) -> bool {
        self.body.is_some()
    }

    pub(super) fn method(&self) -> Method {
        self.method.clone()
    }

    pub(super) fn path(&self, major: Major) -> String {
        match major {
            Major::Two => self.path.to_owned(),
            Major::One => self.path_in_v1.clone().unwrap_or_else(|| in_v1(self.path)),
        }
    }

    pub(super) fn body(&self, major: Major) -> Option<Bytes> {
        match (major, &self.in_v1) {
            (Major::One, InV1::Other(body)) => body(),
            _ => self.body.clone(),
        }
    }

    /// The majors in which it is asked, one after the other where the first is not known.
    fn order(&self, majors: &Majors) -> (Major, Option<Major>) {
        if !self.is_in_v1() {
            return (Major::Two, None);
        }
        let first = if majors.is_old() && !self.is_new_first { Major::One } else { Major::Two };
        (first, Some(first.other()))
    }
}

/// An answer, in the words of the major that it came in.
pub(super) enum Answer<N, O> {
    New(N),
    Old(O),
}

impl<N, O: Into<N>> Answer<N, O> {
    /// In the words of version 2.
    pub(super) fn into_new(self) -> N {
        match self {
            Self::New(answer) => answer,
            Self::Old(answer) => answer.into(),
        }
    }
}

/// Asks by `ask`, in the major that the server is known to speak, and in the other where that path is not there.
pub(super) async fn in_turn<T, F>(
    majors: &Majors,
    asked: &Asked<'_>,
    mut ask: impl FnMut(Major) -> F,
) -> Result<T, Attempt>
where
    F: Future<Output = Result<T, Attempt>>,
{
    let (first, second) = asked.order(majors);
    let missing = match ask(first).await {
        Err(attempt) if is_not_there(&attempt) => attempt,
        other => {
            if other.is_ok() {
                majors.answered(first, false);
            }
            return other;
        }
    };
    let Some(second) = second else { return Err(missing) };
    match ask(second).await {
        // Neither knows it: there is no such thing, as whoever gave a reason says, or no server at that address.
        Err(Attempt::Nowhere(..)) => Err(missing),
        Err(attempt) if is_not_there(&attempt) => Err(attempt),
        other => {
            if other.is_ok() {
                majors.answered(second, true);
            }
            other
        }
    }
}

/// Whether the answer was that there is no such path, or no such thing.
fn is_not_there(attempt: &Attempt) -> bool {
    match attempt {
        // Without a reason: a proxy may pass on the paths of version 1 alone.
        Attempt::Nowhere(..) => true,
        Attempt::Final(Error::Refused { body, .. }) => body.code == ErrorCode::NotFound,
        Attempt::Final(_) | Attempt::Again(..) => false,
    }
}

/// A page of version 1 in the words of version 2. Of a batch version 1 makes one event for each job, all with the same cursor, of which the
/// first brings what is sealed: they are one event again.
pub(super) fn page_of_v1(page: v1::EventPage) -> EventPage {
    let EventPage { events, next, reset } = page.into();
    let mut whole = Vec::with_capacity(events.len());
    for event in events {
        let before: Option<&mut filemill_api::Event> = whole.last_mut();
        if let Some(before) = before.filter(|before| before.cursor == event.cursor && before.upload == event.upload)
            && let EventKind::Results { jobs, .. } = &mut before.kind
            && let EventKind::Results { jobs: more, sealed: None } = &event.kind
        {
            jobs.extend(more);
            continue;
        }
        whole.push(event);
    }
    EventPage { events: whole, next, reset }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use filemill_api::{Base64, ErrorBody, Event, JobOutcome, Outcome, SealedResult};

    use super::*;

    fn refused(code: ErrorCode) -> Attempt {
        let body = ErrorBody { code, message: "no".to_owned(), hint: None };
        Attempt::Final(Error::Refused { server: "s".to_owned(), body })
    }

    /// Which majors are asked, one after the other, where `speaks` says what each answers.
    async fn asked(
        majors: &Majors,
        asked: &Asked<'_>,
        speaks: impl Fn(Major) -> Option<Attempt>,
    ) -> (bool, Vec<Major>) {
        let order = RefCell::new(Vec::new());
        let answer = in_turn(majors, asked, |major| {
            order.borrow_mut().push(major);
            let answer = speaks(major).map_or(Ok(()), Err);
            async move { answer }
        });
        (answer.await.is_ok(), order.into_inner())
    }

    #[tokio::test]
    async fn version_2_is_asked_first_and_version_1_where_the_path_is_not_there() {
        let call = Asked::get("/v2/whoami");
        let majors = Majors::default();
        assert_eq!(asked(&majors, &call, |_| None).await, (true, vec![Major::Two]));
        let old = |major: Major| (major == Major::Two).then(|| refused(ErrorCode::NotFound));
        assert_eq!(asked(&majors, &call, old).await, (true, vec![Major::Two, Major::One]));
        assert_eq!(asked(&majors, &call, old).await, (true, vec![Major::One]), "not asked again at once");
        let first = Asked::get("/v2/releases").new_first();
        assert_eq!(asked(&majors, &first, old).await, (true, vec![Major::Two, Major::One]));
        assert_eq!(asked(&majors, &first, |_| None).await, (true, vec![Major::Two]));
        assert_eq!(asked(&majors, &call, |_| None).await, (true, vec![Major::Two]), "it speaks version 2 by now");
        let new = |major: Major| (major == Major::One).then(|| refused(ErrorCode::NotFound));
        asked(&majors, &call, old).await;
        assert_eq!(asked(&majors, &call, new).await, (true, vec![Major::One, Major::Two]), "version 1 is gone");
        assert!(!majors.is_old());
    }

    #[tokio::test]
    async fn what_is_not_there_in_either_says_nothing_of_the_server_nor_does_any_other_refusal() {
        let call = Asked::get("/v2/uploads/1");
        let majors = Majors::default();
        let both = vec![Major::Two, Major::One];
        assert_eq!(asked(&majors, &call, |_| Some(refused(ErrorCode::NotFound))).await, (false, both.clone()));
        let nowhere = |_: Major| Some(Attempt::Nowhere(Error::Stopped, None));
        assert_eq!(asked(&majors, &call, nowhere).await, (false, both.clone()));
        // A proxy that passes on one major alone says nothing of what the server says in the other.
        for passed_on in [Major::One, Major::Two] {
            let answer = in_turn(&majors, &call, |major| async move {
                if major == passed_on {
                    Err::<(), _>(refused(ErrorCode::NotFound))
                } else {
                    Err(Attempt::Nowhere(Error::Stopped, None))
                }
            });
            assert!(matches!(answer.await, Err(Attempt::Final(Error::Refused { .. }))), "{passed_on:?}");
        }
        let then_busy =
            |major: Major| Some(refused(if major == Major::Two { ErrorCode::NotFound } else { ErrorCode::Internal }));
        assert_eq!(asked(&majors, &call, then_busy).await, (false, both));
        let conflict = |_: Major| Some(refused(ErrorCode::Conflict));
        assert_eq!(asked(&majors, &call, conflict).await, (false, vec![Major::Two]));
        assert!(!majors.is_old());
        let only_new = Asked::post("/v2/uploads", Bytes::new()).not_in_v1();
        let not_there = |_: Major| Some(refused(ErrorCode::NotFound));
        assert_eq!(asked(&majors, &only_new, not_there).await, (false, vec![Major::Two]), "there are no words");
    }

    #[test]
    fn a_call_has_its_own_path_and_body_in_each_major() {
        let body = Bytes::from_static(b"new");
        let call = Asked::post("/v2/events?device=d", body.clone())
            .with_path_in_v1("/v2/events")
            .with_body_in_v1(|| Some(Bytes::from_static(b"old")));
        assert_eq!((call.path(Major::Two), call.path(Major::One)), ("/v2/events?device=d".into(), "/v1/events".into()));
        assert_eq!((call.body(Major::Two), call.body(Major::One)), (Some(body), Some(Bytes::from_static(b"old"))));
    }

    #[test]
    fn the_events_of_a_batch_are_one_again() {
        let event = |cursor, upload: &str, jobs: &[u32], sealed: Option<u8>| Event {
            cursor,
            mark: None,
            upload: upload.to_owned(),
            kind: EventKind::Results {
                jobs: jobs.iter().map(|job| JobOutcome { job: *job, outcome: Outcome::Succeeded }).collect(),
                sealed: sealed.map(|byte| SealedResult::Inline(Base64(vec![byte]))),
            },
        };
        let missing = Event { kind: EventKind::ChunksMissing { sequences: vec![1] }, ..event(4, "b", &[], None) };
        let events = vec![
            event(1, "a", &[0], Some(1)),
            event(2, "a", &[1, 2, 3], Some(2)),
            event(3, "b", &[0, 1], None),
            missing,
            event(5, "b", &[9], Some(3)),
        ];
        let page = EventPage { events, next: 5, reset: false };
        assert_eq!(page_of_v1(page.clone().into()), page);
    }
}
