//! For whom a request is worked on: known from its head, before anything of its body is read.

use std::any::Any;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::MatchedPath;
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use filemill_api::{ErrorBody, ErrorCode};
use serde::Serialize;
use tokio::time::Instant;

use super::app::App;
use super::bearer::bearer;
use super::problem::{Refusal, full};
use crate::accounts::{Caller, Scope, TokenHash};
use crate::callers::{Account, Kind, Permit};
use crate::listen::Exchange;

/// Longest wait of a stranger for a place.
const STRANGER_WAIT: Duration = Duration::from_secs(5);

/// The caller of a request, and what is held for it.
#[derive(Clone)]
pub(super) struct Ticket {
    /// Who it is, or why not.
    pub(super) caller: Arc<Result<Caller, ErrorBody>>,
    /// The token that says so.
    token: Option<TokenHash>,
    pub(super) account: Arc<Account>,
    pub(super) kind: Kind,
    pub(super) clock: Clock,
    exchange: Option<Arc<Exchange>>,
    working: Arc<Mutex<Vec<Box<dyn Any + Send>>>>,
}

impl Ticket {
    fn new(
        app: &App,
        exchange: Option<&Arc<Exchange>>,
        caller: Result<Caller, ErrorBody>,
        account: Arc<Account>,
        kind: Kind,
        place: Permit,
    ) -> Self {
        let ticket = Self {
            caller: Arc::new(caller),
            token: None,
            account,
            kind,
            clock: Clock::start(app.bounds.request),
            exchange: exchange.cloned(),
            working: Arc::default(),
        };
        ticket.keep(place);
        ticket
    }

    /// Whether the caller's token still holds, now that the request has waited for something: a token that was revoked meanwhile gets and
    /// does nothing any more. Costs nothing where that was looked up within the last two seconds.
    ///
    /// # Errors
    /// `unauthenticated`: it was revoked.
    pub(super) async fn still_holds(&self, app: &App) -> Result<(), Refusal> {
        if let Some(token) = self.token {
            app.accounts.caller_of(token).await?;
        }
        Ok(())
    }

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
    /// written. Nobody waits for that who holds a turn that others wait for.
    ///
    /// # Errors
    /// `unavailable`: the caller does not take the answers that it has.
    pub(super) async fn reserve(&self, app: &App, bytes: usize) -> Result<Permit, Refusal> {
        let room = match self.has_turn() {
            true => app.callers.answer_now(&self.account, bytes),
            false => app.callers.answer(&self.account, bytes).await,
        };
        room.ok_or_else(no_room_for_answer)
    }

    /// The same for an answer that may be shorter, or nearly always is: where others leave no room for all of it, what a caller has in any case.
    ///
    /// # Errors
    /// As those of [`Self::reserve`].
    pub(super) async fn reserve_some(&self, app: &App, bytes: usize) -> Result<Permit, Refusal> {
        let room = match self.has_turn() {
            true => app.callers.answer_in_any_case_now(&self.account, bytes),
            false => app.callers.answer_in_any_case(&self.account, bytes).await,
        };
        room.ok_or_else(no_room_for_answer)
    }

    /// A place among those whose token is looked up, once there is one.
    ///
    /// # Errors
    /// `unavailable`: the address has as many of them as it may have.
    pub(super) async fn place_to_look_up(&self) -> Result<Permit, Refusal> {
        self.account.place_within(STRANGER_WAIT).await.ok_or_else(full)
    }

    fn has_turn(&self) -> bool {
        !self.working.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
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
    let exchange = head.extensions.get::<Arc<Exchange>>();
    let token = match bearer(&head.headers) {
        Ok(token) => token,
        Err(refusal) => return stranger(app, exchange, refusal),
    };
    // Whose token it was a while ago is enough to know whose place it takes: nobody without one is in its way.
    if let Some((caller, is_fresh)) = app.accounts.remembered(token) {
        let mut ticket = own(app, head, exchange, token, caller)?;
        if !is_fresh {
            ticket.caller = Arc::new(app.accounts.authenticate(token).await);
        }
        return Ok(ticket);
    }
    let looked_up = {
        let _place = address(app, exchange).place_within(STRANGER_WAIT).await.ok_or_else(full)?;
        app.accounts.authenticate(token).await
    };
    match looked_up {
        Ok(caller) => own(app, head, exchange, token, caller),
        Err(refusal) => stranger(app, exchange, refusal.into()),
    }
}

/// The ticket of a request whose token stands for somebody, in a place of its own.
fn own(
    app: &App,
    head: &Parts,
    exchange: Option<&Arc<Exchange>>,
    token: &str,
    caller: Caller,
) -> Result<Ticket, Refusal> {
    let account = match &caller.pool {
        Some(pool) => app.callers.of_token(token, ("pool", pool)),
        None => app.callers.of_token(token, ("organisation", caller.organisation)),
    };
    let kind = match caller.scope {
        Scope::Processor => {
            let route = head.extensions.get::<MatchedPath>().map(MatchedPath::as_str);
            app.routes.kind(&head.method, route)
        }
        Scope::User | Scope::Operator => Kind::User,
    };
    if let Some(exchange) = exchange {
        exchange.line().belongs_to(account.number());
    }
    let place = account.place(kind).ok_or_else(full)?;
    let ticket = Ticket::new(app, exchange, Ok(caller), account, kind, place);
    Ok(Ticket { token: Some(TokenHash::of(token)), ..ticket })
}

/// The ticket of a request that nobody may make: it is refused, in one of the places that its address has for such answers.
fn stranger(app: &App, exchange: Option<&Arc<Exchange>>, refusal: Refusal) -> Result<Ticket, Refusal> {
    let account = address(app, exchange);
    match account.place(Kind::Open) {
        Some(place) => Ok(Ticket::new(app, exchange, Err(refusal.into_body()), account, Kind::Open, place)),
        None => Err(refusal.bare()),
    }
}

/// The ticket of a request that needs no token and has a body: it is worked on in one of the places that its address has for those.
pub(super) fn without_token(app: &App, head: &Parts) -> Result<Ticket, Refusal> {
    let exchange = head.extensions.get::<Arc<Exchange>>();
    let account = address(app, exchange);
    let place = account.place(Kind::Open).ok_or_else(|| full().bare())?;
    let nobody = Refusal::new(ErrorCode::Unauthenticated, "this call takes no token").into_body();
    Ok(Ticket::new(app, exchange, Err(nobody), account, Kind::Open, place))
}

/// A place for a request that needs no token, until its answer has left.
pub(super) fn open_place(app: &App, exchange: Option<&Arc<Exchange>>) -> Option<()> {
    let place = address(app, exchange).place(Kind::Open)?;
    if let Some(exchange) = exchange {
        exchange.keep(place);
    }
    Some(())
}

fn address(app: &App, exchange: Option<&Arc<Exchange>>) -> Arc<Account> {
    let peer = exchange.map(|exchange| exchange.line().peer());
    app.callers.of_address(peer.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)))
}
