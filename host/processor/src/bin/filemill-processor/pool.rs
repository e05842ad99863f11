//! `pool`: the keys that the processors of a pool share.

use std::io;
use std::path::PathBuf;

use clap::Subcommand;
use filemill_processor::{PoolFolder, ProcessorFolder, Renewal};
use filemill_seal::Format;
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
        /// The pool's folder, with its root; of a processor that has joined, its own if not given.
        #[arg(long)]
        dir: Option<PathBuf>,
        /// Make a new identity, after a node was revoked for example. Former ones still open what was sealed for them.
        #[arg(long)]
        rotate: bool,
        /// How long it is valid from now on, 1 to 30 days; as before if not given.
        #[arg(long)]
        lifetime_days: Option<u32>,
    },
    /// Say what the folder holds. Shows no secret.
    Show {
        /// The pool's folder; of a processor that has joined, its own if not given.
        #[arg(long)]
        dir: Option<PathBuf>,
    },
    /// Print the enrolment file that clients log in with. It is the same each time, but for what is asked here.
    Enrolment {
        /// The pool's folder; of a processor that has joined, its own if not given.
        #[arg(long)]
        dir: Option<PathBuf>,
        /// Clients that log in with it send no older format of headers than this, whatever a server says: for when every processor of
        /// the pool reads it. Programs of release 0.1.0 do not read such a file.
        #[arg(long, value_name = "FORMAT", value_parser = format)]
        lowest_format: Option<Format>,
    },
}

fn format(text: &str) -> Result<Format, String> {
    let known = text.parse().ok().and_then(Format::from_number);
    known.ok_or_else(|| "it has to be 1 or 2".to_owned())
}

/// The folder that was named, or that of the processor that has joined here.
fn folder_of(dir: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    match dir {
        Some(dir) => Ok(dir),
        None => Ok(ProcessorFolder::at(None)?.pool()),
    }
}

/// Runs the command.
pub(crate) fn run(command: PoolCommand) -> anyhow::Result<()> {
    let mut out = Lines::on_stdout();
    match command {
        PoolCommand::Init { dir, name, lifetime_days } => {
            let folder = PoolFolder::init(&dir, &name, lifetime_days)?;
            out.json(&folder.enrolment().to_json())?;
            // Whoever is given the enrolment compares it, as it may be handed on by many.
            filemill_text::tell!("fingerprint  {}", folder.enrolment().fingerprint());
        }
        PoolCommand::Renew { dir, rotate, lifetime_days } => {
            let mut folder = PoolFolder::open(&folder_of(dir)?)?;
            folder.renew(if rotate { Renewal::NewIdentity } else { Renewal::SameIdentity }, lifetime_days)?;
            show(&mut out, &folder)?;
        }
        PoolCommand::Show { dir } => show(&mut out, &PoolFolder::open(&folder_of(dir)?)?)?,
        PoolCommand::Enrolment { dir, lowest_format } => {
            let enrolment = PoolFolder::open(&folder_of(dir)?)?.enrolment().clone();
            let enrolment = match lowest_format {
                Some(lowest) => enrolment.with_lowest_format(lowest),
                None => enrolment,
            };
            out.json(&enrolment.to_json())?;
            filemill_text::tell!("fingerprint  {}", enrolment.fingerprint());
        }
    }
    out.flush()?;
    Ok(())
}

fn show(out: &mut Lines<impl io::Write>, folder: &PoolFolder) -> io::Result<()> {
    let left = folder
        .remaining()
        .map_or_else(|| "expired".to_owned(), |left| format!("{:.1} days left", left.as_secs_f64() / 86_400.0));
    let newest = folder.identities().last().map(|identity| identity.recipient().to_string()).unwrap_or_default();
    out.line(format_args!("pool         {}", folder.enrolment().pool()))?;
    out.line(format_args!("fingerprint  {}", folder.enrolment().fingerprint()))?;
    out.line(format_args!("recipient    {newest}"))?;
    out.line(format_args!("serial       {}", folder.serial()))?;
    out.line(format_args!("valid until  {}, {left}", date(folder.not_after())))?;
    out.line(format_args!("identities   {}", folder.identities().len()))?;
    out.line(format_args!("root key     {}", if folder.has_root() { "here" } else { "elsewhere" }))?;
    out.line(format_args!("enrolment    {}", folder.enrolment().to_json()))
}

/// A time in seconds since 1970 as people read it: `2026-11-29 12:00 UTC`.
fn date(seconds: u64) -> String {
    let (days, minutes) = (seconds / 86_400, seconds % 86_400 / 60);
    // In years that begin in March (Howard Hinnant, "chrono-compatible low-level date algorithms").
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march = (5 * day_of_year + 2) / 153;
    let (day, month) = (day_of_year - (153 * march + 2) / 5 + 1, if march < 10 { march + 3 } else { march - 9 });
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02} UTC", minutes / 60, minutes % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_shown_as_a_date() {
        assert_eq!(date(0), "1970-01-01 00:00 UTC");
        assert_eq!(date(1_796_555_441), "2026-12-06 11:10 UTC");
        assert_eq!(date(1_709_251_199), "2024-02-29 23:59 UTC");
    }
}
