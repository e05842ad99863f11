//! A client: one home, one login, one running program, and what goes on in it.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use filemill_api::ErrorBody;
use filemill_seal::UploadId;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::activity::Activity;
use crate::api::Patience;
use crate::base::Base;
use crate::config::Config;
use crate::context::Context;
use crate::error::Error;
use crate::home::Home;
use crate::journal::Session;
use crate::options::ClientOptions;
use crate::progress::Progress;
use crate::send::SendOptions;
use crate::teller::{Events, Teller};
use crate::watch::WatchOptions;

/// How long the end waits for what goes on, and for requests under way.
const CLOSE_WITHIN: Duration = Duration::from_secs(5);

/// A client that is logged in.
///
/// What goes on in it goes on by itself, several [`Activity`]s at the same time if that is asked for: each file belongs to one of them,
/// which tells of it. Dropping the client ends them as if the program were killed, which loses nothing; [`close`](Self::close) lets
/// them put down what they know first.
pub struct Client {
    pub(crate) base: Arc<Base>,
    /// For questions that are answered at once. Its session owns nothing.
    pub(crate) desk: Context,
    running: Mutex<JoinSet<()>>,
    stop: CancellationToken,
}

impl Client {
    /// Opens the client of `home`.
    ///
    /// # Errors
    ///
    /// [`Error::NotLoggedIn`], [`Error::NoKey`] or [`Error::NoKeychain`], errors of the journal; [`Error::Stopped`] as soon as nobody
    /// is to [wait](Home::waiting) any more.
    pub async fn open(home: Home, options: ClientOptions) -> Result<Self, Error> {
        Self::open_in_time(home, options, false).await
    }

    /// The same for whoever mainly reads what is in the journal: on a full disk it is read as it is, which [`journal_full`](Self::journal_full)
    /// says, and what would be written is an [`Error::JournalFull`]. Other programs of the home wait then until this client is closed.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub async fn open_to_read(home: Home, options: ClientOptions) -> Result<Self, Error> {
        Self::open_in_time(home, options, true).await
    }

    async fn open_in_time(home: Home, options: ClientOptions, to_read: bool) -> Result<Self, Error> {
        let stopped = home.clone();
        tokio::select! {
            opened = Self::open_now(home, options, to_read) => opened,
            () = stopped.stopped() => Err(Error::Stopped),
        }
    }

    async fn open_now(home: Home, options: ClientOptions, to_read: bool) -> Result<Self, Error> {
        let base = Arc::new(Base::open(home, options, to_read).await?);
        let session = base.new_session(Session::new_id())?;
        let stop = CancellationToken::new();
        let desk = Context::new(&base, session, Teller::to_nobody(), Arc::default(), stop.child_token());
        Ok(Self { base, desk, running: Mutex::default(), stop })
    }

    /// What the login pinned.
    pub fn config(&self) -> &Config {
        &self.base.config
    }

    /// That the journal is only read, and nothing new is kept, because its disk is full; `None` if it is not so.
    pub fn journal_full(&self) -> Option<Error> {
        self.base.journal.is_as_it_was().then(|| Error::JournalFull { path: self.base.home.journal() })
    }

    /// Sends files and folders. Ends when each has its last word, and goes on with those that were begun before.
    ///
    /// # Panics
    ///
    /// Outside of a Tokio runtime, as [`watch`](Self::watch) and [`resume`](Self::resume) do.
    pub fn send(&self, options: SendOptions) -> (Activity, Events) {
        self.begin(Job::Send(options))
    }

    /// Sends what is in folders and what appears in them, until it is stopped, and goes on with everything that earlier programs of this
    /// home began. Ends with [`Error::NoFolder`] for what is not a folder, and with [`Error::Watched`] for one that another activity of
    /// this home watches for the same engine.
    pub fn watch(&self, options: WatchOptions) -> (Activity, Events) {
        self.begin(Job::Watch(options))
    }

    /// Goes on with everything that earlier programs of this home began and did not finish, and that no other activity works on. Ends
    /// when each file has its last word.
    pub fn resume(&self) -> (Activity, Events) {
        self.begin(Job::Resume)
    }

    fn begin(&self, job: Job) -> (Activity, Events) {
        let session = Session::new_id();
        let (teller, events) = Teller::new(self.base.options.events_waiting_max);
        let (progress, stop) = (Arc::<Progress>::default(), self.stop.child_token());
        let (activity, ends) = Activity::new(Arc::clone(&self.base), &session, Arc::clone(&progress), stop.clone());
        let base = Arc::clone(&self.base);
        let work = async move {
            let result = async {
                let context = Context::new(&base, base.new_session(session)?, teller, progress, stop);
                match job {
                    Job::Send(options) => context.send(options).await,
                    Job::Watch(options) => context.watch(options).await,
                    Job::Resume => context.resume().await,
                }
            };
            let result = result.await;
            // By now its session has ended: whoever hears of this may adopt what it left.
            let _ = ends.send(Some(result));
        };
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        while running.try_join_next().is_some() {}
        running.spawn(self.base.tasks.track_future(work));
        (activity, events)
    }

    /// Cancels these uploads, or all that are not finished if none is named, and tells of each how many files that were, or
    /// why it could not be. Returns how many files were cancelled.
    ///
    /// # Errors
    ///
    /// If the server cannot be asked.
    pub async fn cancel(
        &self,
        uploads: &[UploadId],
        mut tell: impl FnMut(UploadId, Result<u32, Error>),
    ) -> Result<u64, Error> {
        let mut cancelled = 0;
        let mut asked = HashSet::new();
        let mut after = None;
        loop {
            let (uploads, next): (Vec<UploadId>, Option<UploadId>) = if uploads.is_empty() {
                let page = self.base.api.uploads(after).await?;
                let ids = page.uploads.iter().filter_map(|upload| upload.id.parse().ok()).collect();
                (ids, page.next.and_then(|next| next.parse().ok()))
            } else {
                (uploads.to_vec(), None)
            };
            // The server lists so many at once, and those that cannot be cancelled again and again.
            let uploads: Vec<UploadId> = uploads.into_iter().filter(|upload| asked.insert(*upload)).collect();
            if uploads.is_empty() && (next.is_none() || next == after) {
                return Ok(cancelled);
            }
            after = next.or(after);
            for uploads in uploads.chunks(filemill_api::limits::MAX_UPLOADS_PER_REQUEST) {
                let items = self.base.api.cancel(uploads, Patience::Brief).await?;
                for (upload, item) in uploads.iter().zip(items) {
                    let files = item.into_result().map_err(|body| self.refused(body));
                    cancelled += files.as_ref().map_or(0, |files| u64::from(*files));
                    tell(*upload, files);
                }
            }
        }
    }

    /// Waits until the server has not answered something for a while that it was asked, so that whoever waits can be told. Cancel safe.
    pub async fn server_is_silent(&self) {
        self.base.api.is_silent().await;
    }

    /// Lists files of these uploads no more that were given up, of all if none is named. Returns how many those were.
    ///
    /// # Errors
    ///
    /// Errors of the journal.
    pub async fn forget_failed(&self, uploads: &[UploadId]) -> Result<u64, Error> {
        let account = self.base.config.account();
        if uploads.is_empty() {
            return self.base.journal.forget_failed(account, None).await;
        }
        let mut forgotten = 0;
        for upload in uploads {
            forgotten += self.base.journal.forget_failed(account.clone(), Some(*upload)).await?;
        }
        Ok(forgotten)
    }

    /// Ends in order: what goes on is stopped, and what is written is written.
    pub async fn close(self) {
        let Self { base, desk, running, stop } = self;
        stop.cancel();
        let mut running = running.into_inner().unwrap_or_else(PoisonError::into_inner);
        let _ = tokio::time::timeout(CLOSE_WITHIN, async { while running.join_next().await.is_some() {} }).await;
        drop(running);
        let Context { session, pipeline, .. } = desk;
        drop(pipeline);
        // They end when nobody asks them anything any more. A thread that reads from a dead disk may still hold them.
        let _ = tokio::time::timeout(CLOSE_WITHIN, base.tasks.wait()).await;
        crate::tree::close_all();
        base.journal.close().await;
        drop(session);
    }

    fn refused(&self, body: ErrorBody) -> Error {
        Error::Refused { server: self.base.api.server().to_owned(), body }
    }
}

/// What an activity is to do.
enum Job {
    Send(SendOptions),
    Watch(WatchOptions),
    Resume,
}
