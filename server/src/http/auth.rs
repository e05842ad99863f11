//! Who is calling: a bearer token, and the scope that a handler asks for by the type of its argument.

use std::convert::Infallible;
use std::marker::PhantomData;
use std::ops::Deref;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;

use super::app::App;
use super::caller::Ticket;
use super::problem::Refusal;
use crate::accounts::{Caller, Scope};
use crate::callers::Kind;

/// What it takes to call a route. The first argument of every handler is one of these, or the route does not compile: see
/// [`super::declared`].
pub(super) trait Permission {
    /// Whether somebody without a token may call, too.
    const IS_PUBLIC: bool = false;
    /// In whose places a processor's call is counted. Whoever else calls is a user to this.
    const KIND: Kind;
}

/// A caller whose token has the scope `user`.
pub(super) struct User(pub(super) Caller);

/// A caller whose token has the scope `processor`: the pool that it is for. Which processor does not matter, nor whose token it is;
/// whom the pool serves, its operator says. Its calls are of a kind, that those of another kind do not wait for.
pub(super) struct Processor<C> {
    pool: String,
    call: PhantomData<fn() -> C>,
}

/// A caller whose token has the scope `operator`.
pub(super) struct Operator;

/// A caller with any token.
pub(super) struct Anyone(pub(super) Caller);

/// Whoever calls, with a token or without.
pub(super) struct Public;

/// A kind of calls that processors make.
pub(super) trait Call {
    /// As it is counted.
    const KIND: Kind;
}

/// It waits for work or chunks.
pub(super) struct Polls;
/// It says something of its leases, or hands them back.
pub(super) struct Reports;
/// It hands in results.
pub(super) struct Results;
/// It says something of itself, its pool or its engines.
pub(super) struct Offers;
/// It reads what others read, too.
pub(super) struct Reads;

impl Call for Polls {
    const KIND: Kind = Kind::Poll;
}

impl Call for Reports {
    const KIND: Kind = Kind::Report;
}

impl Call for Results {
    const KIND: Kind = Kind::Result;
}

impl Call for Offers {
    const KIND: Kind = Kind::Offer;
}

impl Call for Reads {
    const KIND: Kind = Kind::User;
}

impl Permission for User {
    // A processor is refused in one of these.
    const KIND: Kind = Kind::Offer;
}

impl<C: Call> Permission for Processor<C> {
    const KIND: Kind = C::KIND;
}

impl Permission for Operator {
    // A processor is refused in one of these.
    const KIND: Kind = Kind::Offer;
}

impl Permission for Anyone {
    const KIND: Kind = Kind::User;
}

impl Permission for Public {
    const IS_PUBLIC: bool = true;
    const KIND: Kind = Kind::Open;
}

/// The pool that it is for.
impl<C> Deref for Processor<C> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.pool
    }
}

impl FromRequestParts<App> for User {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Refusal> {
        let caller = authenticated(parts)?;
        caller.require(&[Scope::User])?;
        Ok(Self(caller))
    }
}

impl FromRequestParts<App> for Operator {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Refusal> {
        authenticated(parts)?.require(&[Scope::Operator])?;
        Ok(Self)
    }
}

impl<C> FromRequestParts<App> for Processor<C> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Refusal> {
        let caller = authenticated(parts)?;
        Ok(Self { pool: caller.processor_pool()?.to_owned(), call: PhantomData })
    }
}

impl FromRequestParts<App> for Public {
    type Rejection = Infallible;

    async fn from_request_parts(_: &mut Parts, _: &App) -> Result<Self, Infallible> {
        Ok(Self)
    }
}

impl FromRequestParts<App> for Anyone {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Refusal> {
        authenticated(parts).map(Self)
    }
}

impl FromRequestParts<App> for Ticket {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Refusal> {
        parts.extensions.get::<Self>().cloned().ok_or_else(|| Refusal::fault("a request without a place"))
    }
}

/// Who it is was found out before, with the place that the request has.
fn authenticated(parts: &Parts) -> Result<Caller, Refusal> {
    let ticket = parts.extensions.get::<Ticket>().ok_or_else(|| Refusal::fault("a request without a place"))?;
    Ok((*ticket.caller).clone()?)
}
