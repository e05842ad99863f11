//! `pool`: the keys that the processors of a pool share.

use std::io;
use std::path::PathBuf;
use std::time::{Duration, UNIX_EPOCH};

use clap::Subcommand;
use filemill_host::pool::{PoolFolder, Renewal};
use filemill_text::Lines;

#[derive(Subcommand)]
pub(crate) enum PoolCommand {
    /// Make a pool and print the enrolment file for its clients.
    Init {
        /// The folder to make, readable by its owner only.
        #[arg(long)]
        dir: PathBuf,
        /// The pool's name.
        #[arg(long)]
        name: String,
        /// How long a signed recipient is valid, 1 to 30 days.
        #[arg(long, default_value_t = 7)]
        lifetime_days: u32,
    },
    /// Sign a new recipient statement; running processors publish it within a minute.
    Renew {
        /// The pool's folder, with its root.
        #[arg(long)]
        dir: PathBuf,
        /// Make a new identity, after a node was revoked for example. Former ones still open what was sealed for them.
        #[arg(long)]
        rotate: bool,
        /// How long it is valid from now on, 1 to 30 days; as before if not given.
        #[arg(long)]
        lifetime_days: Option<u32>,
    },
    /// Say what the folder holds. Shows no secret.
    Show {
        /// The pool's folder.
        #[arg(long)]
        dir: PathBuf,
    },
}

/// Runs the command.
pub(crate) fn run(command: PoolCommand) -> anyhow::Result<()> {
    let mut out = Lines::on_stdout();
    match command {
        PoolCommand::Init { dir, name, lifetime_days } => {
            let folder = PoolFolder::init(&dir, &name, lifetime_days)?;
            out.json(&folder.enrolment().to_json())?;
        }
        PoolCommand::Renew { dir, rotate, lifetime_days } => {
            let mut folder = PoolFolder::open(&dir)?;
            folder.renew(if rotate { Renewal::NewIdentity } else { Renewal::SameIdentity }, lifetime_days)?;
            show(&mut out, &folder)?;
        }
        PoolCommand::Show { dir } => show(&mut out, &PoolFolder::open(&dir)?)?,
    }
    out.flush()?;
    Ok(())
}

fn show(out: &mut Lines<impl io::Write>, folder: &PoolFolder) -> io::Result<()> {
    let until = UNIX_EPOCH + Duration::from_secs(folder.not_after());
    let left = folder
        .remaining()
        .map_or_else(|| "expired".to_owned(), |left| format!("{:.1} days left", left.as_secs_f64() / 86_400.0));
    let newest = folder.identities().last().map(|identity| identity.recipient().to_string()).unwrap_or_default();
    out.line(format_args!("pool         {}", folder.enrolment().pool()))?;
    out.line(format_args!("fingerprint  {}", folder.enrolment().fingerprint()))?;
    out.line(format_args!("recipient    {newest}"))?;
    out.line(format_args!("serial       {}", folder.serial()))?;
    out.line(format_args!(
        "valid until  {} s after 1970 UTC, {left}",
        until.duration_since(UNIX_EPOCH).map_or(0, |t| t.as_secs())
    ))?;
    out.line(format_args!("identities   {}", folder.identities().len()))?;
    out.line(format_args!("root key     {}", if folder.has_root() { "here" } else { "elsewhere" }))?;
    out.line(format_args!("enrolment    {}", folder.enrolment().to_json()))
}
