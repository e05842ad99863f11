//! For whom a request is worked on: known from its head, before anything of its body is read.

use std::any::Any;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::http::Method;
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use filemill_api::{ErrorBody, ErrorCode, paths};
use serde::Serialize;
use tokio::time::Instant;

use super::{App, Refusal, auth};
use crate::callers::{Account, Kind, Permit};
use crate::listen::Exchange;
use crate::rules::{Caller, Scope};

/// Longest wait of a stranger for a place.
const STRANGER_WAIT: Duration = Duration::from_secs(5);

/// The caller of a request, and what is held for it.
#[derive(Clone)]
pub(super) struct Ticket {
    /// Who it is, or why not.
    pub(super) caller: Arc<Result<Caller, ErrorBody>>,
    pub(super) account: Arc<Account>,
    pub(super) kind: Kind,
    pub(super) clock: Clock,
    exchange: Option<Arc<Exchange>>,
    working: Arc<Mutex<Vec<Box<dyn Any + Send>>>>,
}

impl Ticket {
    /// Holds something until the handler has answered.
    pub(super) fn while_worked_on(&self, held: impl Any + Send) {
        self.working.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(held));
    }

    /// The handler has answered.
    pub(super) fn worked_on(&self) {
        self.working.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Holds something until the answer has left.
    pub(super) fn keep(&self, held: Permit) {
        if let Some(exchange) = &self.exchange {
            exchange.keep(held);
        }
    }

    /// Makes sure that there is room for an answer that may be so long, before it is made. What it does not take is given back when it is
    /// written.
    ///
    /// # Errors
    /// `unavailable`: the caller does not take the answers that it has.
    pub(super) async fn reserve(&self, app: &App, bytes: usize) -> Result<Permit, Refusal> {
        app.callers.answer(&self.account, bytes).await.ok_or_else(no_room_for_answer)
    }

    /// Answers with JSON in the room that was reserved for it.
    pub(super) fn answer<T: Serialize>(&self, mut room: Permit, answer: &T) -> Result<Response, Refusal> {
        let bytes = serde_json::to_vec(answer).map_err(Refusal::fault)?;
        room.set(bytes.len());
        self.keep(room);
        let mut response = ([(CONTENT_TYPE, "application/json")], bytes).into_response();
        response.extensions_mut().insert(Reserved);
        Ok(response)
    }
}

/// Marks an answer whose bytes are counted already.
#[derive(Clone)]
pub(super) struct Reserved;

pub(super) fn no_room_for_answer() -> Refusal {
    Refusal::new(ErrorCode::Unavailable, "too many answers to this caller have not been read")
        .hint("read the answers that are under way, then ask again")
}

/// Until when a request has to be answered. It stands still while the server waits for the caller, or the caller for room.
#[derive(Clone, Debug)]
pub(super) struct Clock {
    until: Arc<Mutex<Option<Instant>>>,
    time: Duration,
}

impl Clock {
    pub(super) fn start(time: Duration) -> Self {
        Self { until: Arc::new(Mutex::new(Some(Instant::now() + time))), time }
    }

    /// None while it stands still.
    pub(super) fn until(&self) -> Option<Instant> {
        *self.until.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stops it until what this gives back is dropped.
    pub(super) fn stop(&self) -> Stopped<'_> {
        self.set(None);
        Stopped(self)
    }

    /// How long a request may take.
    pub(super) fn time(&self) -> Duration {
        self.time
    }

    fn set(&self, until: Option<Instant>) {
        *self.until.lock().unwrap_or_else(PoisonError::into_inner) = until;
    }
}

/// Starts a clock anew when it is dropped.
pub(super) struct Stopped<'a>(&'a Clock);

impl Drop for Stopped<'_> {
    fn drop(&mut self) {
        self.0.set(Some(Instant::now() + self.0.time));
    }
}

/// Finds out who calls, and takes a place for the request. None of the errors has read anything of the body.
pub(super) async fn admit(app: &App, head: &Parts) -> Result<Ticket, Refusal> {
    let exchange = head.extensions.get::<Arc<Exchange>>().cloned();
    let clock = Clock::start(app.bounds.request);
    let ticket = |caller, account, kind| Ticket {
        caller: Arc::new(caller),
        account,
        kind,
        clock,
        exchange: exchange.clone(),
        working: Arc::default(),
    };
    let token = auth::bearer(&head.headers);
    let known = token.as_ref().ok().and_then(|token| app.rules.remembered(token));
    let caller = match (known, token) {
        (Some(caller), _) => caller,
        (None, token) => {
            let peer = exchange.as_ref().map(|exchange| exchange.line().peer());
            let stranger =
                app.callers.of_address(peer.unwrap_or(std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED)));
            let place = stranger.place_within(Kind::Stranger, STRANGER_WAIT).await.ok_or_else(full)?;
            let found = match token {
                Ok(token) => app.rules.authenticate(token).await.map_err(Refusal::from),
                Err(refusal) => Err(refusal),
            };
            match found {
                Ok(caller) => caller,
                Err(refusal) => {
                    let ticket = ticket(Err(refusal.into_body()), stranger, Kind::Stranger);
                    ticket.keep(place);
                    return Ok(ticket);
                }
            }
        }
    };
    let token = auth::bearer(&head.headers)?;
    let account = match &caller.pool {
        Some(pool) => app.callers.of_token(token, ("pool", pool)),
        None => app.callers.of_token(token, ("organisation", caller.organisation)),
    };
    let kind = kind(caller.scope, &head.method, head.uri.path());
    if let Some(exchange) = &exchange {
        exchange.line().belongs_to(account.number());
    }
    let place = account.place(kind).ok_or_else(full)?;
    let ticket = ticket(Ok(caller), account, kind);
    ticket.keep(place);
    Ok(ticket)
}

fn full() -> Refusal {
    Refusal::new(ErrorCode::Unavailable, "as many requests of this caller are under way as it may have")
        .hint("wait for their answers, then ask again")
}

/// The kind of a call.
fn kind(scope: Scope, method: &Method, path: &str) -> Kind {
    if scope != Scope::Processor {
        return Kind::User;
    }
    match path {
        paths::LEASES | paths::LEASE_CHUNKS => Kind::Poll,
        paths::LEASE_REPORT | paths::LEASE_RETURN | paths::LEASE_MISSING | paths::RESULT_URLS => Kind::Report,
        paths::RESULTS => Kind::Result,
        _ if method == Method::GET => Kind::User,
        _ => Kind::Offer,
    }
}
