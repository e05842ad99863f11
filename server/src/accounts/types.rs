//! Who calls, and by which token.

use std::fmt;

/// Who is asking, as the token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// Row of the organisation.
    pub organisation: i64,
    /// Name of the organisation.
    pub organisation_name: String,
    /// Row of the member the token was made for.
    pub member: i64,
    /// Name of the member: a user or a node.
    pub member_name: String,
    /// What the token may do.
    pub scope: Scope,
    /// The pool that a processor speaks for; nobody else has one.
    pub pool: Option<String>,
}

/// What a token may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Uploads, and reads what came of it.
    User,
    /// Leases and completes jobs of one pool, of all organisations.
    Processor,
    /// Publishes releases.
    Operator,
}

impl Scope {
    /// As tokens, command line and API write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Processor => "processor",
            Self::Operator => "operator",
        }
    }

    /// The scope called `name`, if there is one.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::User, Self::Processor, Self::Operator].into_iter().find(|scope| scope.name() == name)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A token at its making: the only time its text is known.
#[derive(Clone, PartialEq, Eq)]
pub struct NewToken {
    /// Names it for revoking.
    pub id: i64,
    /// The secret, `fm_` + letter of the scope + `_` + 64 hex characters.
    pub text: String,
}

impl fmt::Debug for NewToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewToken").field("id", &self.id).finish_non_exhaustive()
    }
}

/// A token as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenSummary {
    /// Names it for revoking.
    pub id: i64,
    /// Name of the organisation.
    pub organisation: String,
    /// Name of the user or node.
    pub member: String,
    /// What it may do.
    pub scope: Scope,
    /// The pool that a processor's is for.
    pub pool: Option<String>,
    /// When it was made, in milliseconds since 1970-01-01 UTC.
    pub created_at_ms: i64,
    /// When it was revoked.
    pub revoked_at_ms: Option<i64>,
}
