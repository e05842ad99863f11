//! `token`: who may call the API.

use std::fmt::Write;

use anyhow::bail;
use clap::{Args, Subcommand};
use filemill_server::Admin;
use filemill_server::rules::Scope;

use super::place::PlaceArguments;

#[derive(Debug, Subcommand)]
pub(super) enum Token {
    /// Make a token and print it, alone; it is not kept anywhere. Organisation and user are made when they are new.
    Create(Create),
    /// List the tokens, without their texts.
    List(List),
    /// Revoke a token; a running server refuses it within two seconds.
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
    /// The pool that the processor belongs to: with --scope processor, and only then.
    #[arg(long, value_name = "NAME")]
    pool: Option<String>,
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
    id: i64,
}

impl Token {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Create(create) => {
                let admin = Admin::open(&create.place.database()?).await?;
                let made =
                    admin.create_token(&create.organisation, &create.user, create.scope, create.pool.as_deref()).await;
                admin.close().await;
                super::print(&made?.text)
            }
            Self::List(list) => {
                let admin = Admin::open(&list.place.database()?).await?;
                let tokens = admin.tokens().await;
                admin.close().await;
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
                super::print(&lines)
            }
            Self::Revoke(revoke) => {
                let admin = Admin::open(&revoke.place.database()?).await?;
                let revoked = admin.revoke_token(revoke.id).await;
                admin.close().await;
                if !revoked? {
                    bail!("there is no valid token `{}`", revoke.id);
                }
                Ok(())
            }
        }
    }
}

fn scope(text: &str) -> Result<Scope, String> {
    Scope::from_name(text).ok_or_else(|| "a scope is `user`, `processor` or `operator`".to_owned())
}
