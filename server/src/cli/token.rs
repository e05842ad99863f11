//! `token`: who may call the API.

use std::fmt::Write;
use std::path::PathBuf;

use anyhow::bail;
use clap::{Args, Subcommand};
use filemill_server::accounts::{NewToken, Revoked, Scope};
use filemill_server::catalog::PoolRoot;
use filemill_server::{Admin, AdminError, Listing};

use super::output;
use super::place::PlaceArguments;
use super::pool::read_enrolment;

#[derive(Debug, Subcommand)]
pub(super) enum Token {
    /// Make a token and print it, alone; it is not kept anywhere. Organisation and user are made when they are new.
    Create(Create),
    /// List the tokens, without their texts: number, organisation, user or node, scope, pool, and `valid` or `revoked`.
    List(List),
    /// Revoke a token; a running server refuses it within two seconds. A login code that came with a processor's is taken back, too.
    Revoke(Revoke),
}

#[derive(Debug, Args)]
pub(super) struct Create {
    #[command(flatten)]
    place: PlaceArguments,
    /// Name of the organisation.
    #[arg(long, value_name = "NAME")]
    organisation: String,
    /// Name of the user or node.
    #[arg(long, value_name = "NAME")]
    user: String,
    /// What it may do: `user`, `processor` or `operator`.
    #[arg(long, value_parser = scope)]
    scope: Scope,
    /// The pool that the processor belongs to: with --scope processor, and only then. One that is new serves everyone with
    /// --embedded, otherwise the token's organisation, until `pool serve` says otherwise.
    #[arg(long, value_name = "NAME")]
    pool: Option<String>,
    /// The pool's enrolment file: its root, of which the server takes the pool's statements. Once for each pool.
    #[arg(long, value_name = "FILE", requires = "pool")]
    enrolment: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct List {
    #[command(flatten)]
    place: PlaceArguments,
}

#[derive(Debug, Args)]
pub(super) struct Revoke {
    #[command(flatten)]
    place: PlaceArguments,
    /// Its number in the list.
    #[arg(value_parser = number)]
    id: i64,
}

/// Nobody has such a token, or no longer.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("there is no valid token `{0}`")]
pub(super) struct NoToken(i64);

impl Token {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Create(create) => {
                let enrolment = create.enrolment.as_ref().zip(create.pool.as_ref());
                let root = enrolment.map(|(file, pool)| read_enrolment(file, pool)).transpose()?;
                let admin = Admin::open(&create.place.database()?).await?;
                let made = create.make(&admin, root.as_ref()).await;
                admin.close().await;
                output::print(&made?.text)
            }
            Self::List(list) => {
                let listing = Listing::open(&list.place.database()?).await?;
                let tokens = listing.tokens().await;
                listing.close().await;
                let mut lines = String::new();
                for token in tokens? {
                    let state = if token.revoked_at_ms.is_some() { "revoked" } else { "valid" };
                    let pool = token.pool.as_deref().unwrap_or("-");
                    writeln!(
                        lines,
                        "{}\t{}\t{}\t{}\t{pool}\t{state}",
                        token.id, token.organisation, token.member, token.scope
                    )?;
                }
                output::print(&lines)
            }
            Self::Revoke(revoke) => {
                let admin = Admin::open(&revoke.place.database()?).await?;
                let revoked = admin.revoke_token(revoke.id).await;
                admin.close().await;
                let Some(Revoked { codes, tokens }) = revoked? else { bail!(NoToken(revoke.id)) };
                if codes > 0 {
                    tracing::info!("the login code that came with it was taken back, too");
                }
                for token in tokens {
                    tracing::warn!(
                        "somebody has redeemed the login code that came with it: token `{token}`, which is still valid (hint: if \
                         that was not whom you meant, `filemill-server token revoke {token}`)"
                    );
                }
                Ok(())
            }
        }
    }
}

impl Create {
    async fn make(&self, admin: &Admin, root: Option<&PoolRoot>) -> Result<NewToken, AdminError> {
        // First of all: a mistyped name is to leave no root behind.
        Admin::check_token(&self.organisation, &self.user, self.scope, self.pool.as_deref())?;
        if let Some(root) = root {
            admin.name_root(root, false).await?;
        }
        if let Some(pool) = self.pool.as_deref().filter(|_| self.place.is_embedded() && self.scope == Scope::Processor)
        {
            admin.serve_everyone_at_first(pool).await?;
        }
        let made = admin.create_token(&self.organisation, &self.user, self.scope, self.pool.as_deref()).await?;
        if let Some(pool) = self.pool.as_ref()
            && !self.place.is_embedded()
            && !admin.has_root(pool).await?
        {
            tracing::warn!(
                "this server does not know the root of pool `{pool}` yet, and passes on nothing that the pool's processors say (hint: \
                 `filemill-server pool root {pool} ENROLMENT`)"
            );
        }
        Ok(made)
    }
}

fn number(text: &str) -> Result<i64, String> {
    text.parse().map_err(|_| "it is a number from `filemill-server token list`".to_owned())
}

fn scope(text: &str) -> Result<Scope, String> {
    Scope::from_name(text).ok_or_else(|| "a scope is `user`, `processor` or `operator`".to_owned())
}
