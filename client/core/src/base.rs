//! What everything that goes on in a client stands on: a home, a login, and what is shared.

use std::sync::Arc;

use filemill_seal::Identity;
use tokio_util::task::TaskTracker;

use crate::api::Api;
use crate::config::Config;
use crate::device::device_id;
use crate::error::Error;
use crate::home::{Home, on_thread};
use crate::journal::{Journal, Session};
use crate::keys::load_identity;
use crate::options::ClientOptions;
use crate::pipeline::Machine;

/// What all activities of a client share.
pub(crate) struct Base {
    pub(crate) home: Home,
    pub(crate) config: Arc<Config>,
    pub(crate) identity: Arc<Identity>,
    pub(crate) journal: Arc<Journal>,
    pub(crate) api: Arc<Api>,
    pub(crate) machine: Arc<Machine>,
    pub(crate) options: ClientOptions,
    /// Whatever runs beside its caller.
    pub(crate) tasks: TaskTracker,
}

impl Base {
    /// Opens what is in `home`. With `to_read` the journal of a full disk is read as it is.
    ///
    /// # Errors
    ///
    /// [`Error::NotLoggedIn`], [`Error::NoKey`] or [`Error::NoKeychain`], errors of the journal.
    pub(crate) async fn open(home: Home, options: ClientOptions, to_read: bool) -> Result<Self, Error> {
        let config = Arc::new(on_thread(&home, Config::load).await?);
        // A keychain may ask its owner for a password.
        let identity = Arc::new(on_thread(&home, load_identity).await?);
        let journal = if to_read { Journal::open_to_read(&home).await? } else { Journal::open(&home).await? };
        let device = journal.device_seed().await?.map(|seed| device_id(&seed, &config.account()));
        let api = Arc::new(Api::new(config.server.clone(), &config.token)?.of_device(device));
        let tasks = TaskTracker::new();
        tasks.close();
        let machine = Arc::new(Machine::new(options.budget_bytes));
        Ok(Self { home, config, identity, journal: Arc::new(journal), api, machine, options, tasks })
    }

    /// The session of this new id, which owns nothing yet; one that cannot own anything where the journal is only read.
    ///
    /// # Errors
    ///
    /// [`Error::File`] if its lock cannot be made.
    pub(crate) fn new_session(&self, id: String) -> Result<Session, Error> {
        if self.journal.is_as_it_was() { Ok(Session::without_lock(id)) } else { Session::begin(&self.home, id) }
    }
}
