//! One function a command: ask the client, print what it says.

mod account;
mod listing;
mod parameters;
mod show;
mod transfer;

pub(crate) use account::{journal, key, login};
pub(crate) use listing::{cancel, open, results, status};
pub(crate) use show::show;
pub(crate) use transfer::{resume, send, watch};

use filemill_client::{Client, ClientOptions, Error, Home, Notice};
use tokio::sync::mpsc;

use crate::lines::{plain, tell};

/// Notices that may wait to be printed.
const NOTICES: usize = 1024;

/// Opens the client, with what it has to tell.
async fn open_client(home: Home) -> Result<(Client, mpsc::Receiver<Notice>), Error> {
    let (notices, told) = mpsc::channel(NOTICES);
    Ok((Client::open(home, ClientOptions::default(), notices).await?, told))
}

/// The same for a command that mainly reads: on a full disk it is said what is not kept.
async fn open_to_read(home: Home) -> Result<(Client, mpsc::Receiver<Notice>), Error> {
    let (notices, mut told) = mpsc::channel(NOTICES);
    let client = Client::open_to_read(home, ClientOptions::default(), notices).await?;
    while let Ok(notice) = told.try_recv() {
        tell_notice(&notice);
    }
    Ok((client, told))
}

/// Says a notice that is not a file's last word.
fn tell_notice(notice: &Notice) {
    match notice {
        Notice::Skipped { path, reason } => tell(&format!("skipped `{}`: {reason}", filemill_client::shown(path))),
        Notice::SentAgain { path, reason } => {
            tell(&format!("`{}` is sent again: {}", filemill_client::shown(path), plain(reason)));
        }
        Notice::Waiting { path, reason } => {
            tell(&format!("`{}` waits: {}", filemill_client::shown(path), plain(reason)));
        }
        Notice::Trouble { message, hint } => {
            tell(&format!("warning: {}", plain(message)));
            if let Some(hint) = hint {
                tell(&format!("hint: {}", plain(hint)));
            }
        }
        Notice::Recovered { message } | Notice::Remark { message } => tell(&plain(message)),
        _ => {}
    }
}
