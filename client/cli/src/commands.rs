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

use filemill_client::{Client, ClientOptions, Error, Home};

use crate::lines::tell;
use crate::words::tell_warning;

/// Does `work`, which asks the server, and says after a while that it does not answer.
async fn saying_who_is_silent<T>(client: &Client, work: impl Future<Output = T>) -> T {
    let say = async {
        client.server_is_silent().await;
        tell(&format!(
            "waiting for server `{}`, which does not answer",
            client.config().server.as_str().trim_end_matches('/')
        ));
        std::future::pending().await
    };
    tokio::select! {
        done = work => done,
        never = say => never,
    }
}

/// Opens the client.
async fn open_client(home: Home) -> Result<Client, Error> {
    Client::open(home, ClientOptions::default()).await
}

/// The same for a command that mainly reads: on a full disk it is said what is not kept.
async fn open_to_read(home: Home) -> Result<Client, Error> {
    let client = Client::open_to_read(home, ClientOptions::default()).await?;
    if let Some(full) = client.journal_full() {
        let message = format!("{full}: it is read as it is, and nothing new is kept");
        tell_warning(message, Some("free some space".to_owned()));
    }
    Ok(client)
}
