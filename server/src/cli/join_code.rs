//! `join-code`: one-time codes, which may stand in a command line where a token may not.

use std::fmt::Write;
use std::path::PathBuf;

use anyhow::bail;
use clap::{Args, Subcommand};
use filemill_server::accounts::{JoinCodeState, JoinGrant, NewCode, Scope};
use filemill_server::catalog::PoolRoot;
use filemill_server::{Admin, AdminError, Listing};

use super::output;
use super::place::PlaceArguments;
use super::pool::read_enrolment;

/// Organisation and pool of whoever joins a server on one machine, unless somebody says otherwise.
pub(super) const DEFAULT_NAME: &str = "main";
/// The processor that joins, and the person for whom it prints a login line.
pub(super) const PROCESSOR: &str = "processor";
pub(super) const PERSON: &str = "user";

#[derive(Debug, Subcommand)]
pub(super) enum JoinCode {
    /// Make a code and print it, alone; it is good once, for ten minutes. Organisation, user and pool are made when it is redeemed, if
    /// they are new.
    Create(Create),
    /// List the codes of the last day, without their texts: number, organisation, user or node, scope, pool, and what has become of it:
    /// for how many seconds more it is good, `used` or `expired`.
    List(List),
    /// Take a code back that nobody has redeemed.
    Revoke(Revoke),
}

#[derive(Debug, Args)]
pub(super) struct Create {
    #[command(flatten)]
    place: PlaceArguments,
    /// What the token may do that the code gives: `processor` or `user`.
    #[arg(long, default_value = "processor", value_parser = scope)]
    scope: Scope,
    /// Name of the organisation.
    #[arg(long, value_name = "NAME", default_value = DEFAULT_NAME)]
    organisation: String,
    /// Name of the user or node; if absent `user` or `processor`, as --scope says.
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// The pool of the processor, which makes its keys if it has none: `main` if absent. Whom a new one serves is as with `token create`.
    #[arg(long, value_name = "NAME")]
    pool: Option<String>,
    /// Give the processor a code for this user of the same organisation, to print together with its pool's root: the line by which a
    /// person logs in.
    #[arg(long, value_name = "NAME")]
    with_login: Option<String>,
    /// The pool's enrolment file: its root, of which the server takes the pool's statements. Once for each pool.
    #[arg(long, value_name = "FILE")]
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

/// There is no such code that could be taken back.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("there is no one-time code `{0}` that nobody has redeemed")]
pub(super) struct NoCode(i64);

impl JoinCode {
    pub(super) async fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Create(create) => {
                let grant = create.grant();
                let enrolment = create.enrolment.as_ref().zip(grant.pool.as_ref());
                let root = enrolment.map(|(file, pool)| read_enrolment(file, pool)).transpose()?;
                let admin = Admin::open(&create.place.database()?).await?;
                let made = make(&admin, &grant, root.as_ref(), create.place.is_embedded()).await;
                admin.close().await;
                output::print(&made?.text)
            }
            Self::List(list) => {
                let listing = Listing::open(&list.place.database()?).await?;
                let codes = listing.join_codes().await;
                listing.close().await;
                let mut lines = String::new();
                for code in codes? {
                    let state = match code.state {
                        JoinCodeState::Good(seconds) => format!("{seconds} s"),
                        JoinCodeState::Used => "used".to_owned(),
                        JoinCodeState::Expired => "expired".to_owned(),
                    };
                    let pool = code.pool.as_deref().unwrap_or("-");
                    let (id, organisation, member, scope) = (code.id, code.organisation, code.member, code.scope);
                    writeln!(lines, "{id}\t{organisation}\t{member}\t{scope}\t{pool}\t{state}")?;
                }
                output::print(&lines)
            }
            Self::Revoke(revoke) => {
                let admin = Admin::open(&revoke.place.database()?).await?;
                let revoked = admin.revoke_join_code(revoke.id).await;
                admin.close().await;
                if !revoked? {
                    bail!(NoCode(revoke.id));
                }
                Ok(())
            }
        }
    }
}

impl Create {
    fn grant(&self) -> JoinGrant {
        let is_processor = self.scope == Scope::Processor;
        let member = self.user.clone().unwrap_or_else(|| (if is_processor { PROCESSOR } else { PERSON }).to_owned());
        let pool = self.pool.clone().or_else(|| is_processor.then(|| DEFAULT_NAME.to_owned()));
        let login = self.with_login.clone();
        let everyone = is_processor && self.place.is_embedded();
        JoinGrant { organisation: self.organisation.clone(), member, scope: self.scope, pool, everyone, login }
    }
}

/// Makes a code, and names its pool's root.
async fn make(
    admin: &Admin,
    grant: &JoinGrant,
    root: Option<&PoolRoot>,
    is_embedded: bool,
) -> Result<NewCode, AdminError> {
    // First of all: a mistyped name is to leave no root behind.
    grant.check()?;
    if let Some(root) = root {
        admin.name_root(root, false).await?;
    }
    let made = admin.create_join_code(grant).await?;
    if let Some(pool) = &grant.pool
        && !is_embedded
        && !admin.has_root(pool).await?
    {
        tracing::warn!(
            "this server does not know the root of pool `{pool}` yet, and passes on nothing that the pool's processors say (hint: \
             `filemill-server pool root {pool} ENROLMENT`)"
        );
    }
    Ok(made)
}

/// Makes the code of a new server's first processor, which comes with one for a person.
pub(super) async fn first(admin: &Admin) -> Result<NewCode, AdminError> {
    let grant = JoinGrant {
        organisation: DEFAULT_NAME.to_owned(),
        member: PROCESSOR.to_owned(),
        scope: Scope::Processor,
        pool: Some(DEFAULT_NAME.to_owned()),
        everyone: true,
        login: Some(PERSON.to_owned()),
    };
    make(admin, &grant, None, true).await
}

fn number(text: &str) -> Result<i64, String> {
    text.parse().map_err(|_| "it is a number from `filemill-server join-code list`".to_owned())
}

fn scope(text: &str) -> Result<Scope, String> {
    Scope::from_name(text)
        .filter(|scope| *scope != Scope::Operator)
        .ok_or_else(|| "a code is for a `processor` or a `user`".to_owned())
}
