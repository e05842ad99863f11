//! Results that are in the journal, and sealed ones that lie in files.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use filemill_seal::{EnvelopeError, Expected, RESULT_MAX_SEALED_BYTES, ResultError, UploadId, Verdict, open_result};

use crate::client::Client;
use crate::ending::{Ending, Finished, NotSent};
use crate::error::Error;
use crate::inbox::of_first_events;
use crate::journal::{FilePlace, FileState};

/// Results that are read from the journal at once.
const PER_PAGE: u32 = 256;
/// Results that are still to be fetched, of which the journal is asked at once.
const UNFETCHED_PER_PAGE: u32 = 4096;

/// A file whose result is there, and could not be fetched.
#[derive(Clone, Debug)]
pub struct StillToFetch {
    /// Absolute.
    pub path: PathBuf,
    /// The upload and the index in it.
    pub place: (UploadId, u32),
    /// Why not, for people.
    pub reason: String,
}

/// What asking the server for results left open.
#[derive(Clone, Debug, Default)]
pub struct Fetched {
    /// Files whose results are there, and could not be fetched.
    pub left: Vec<StillToFetch>,
    /// New results of uploads that the journal does not know: another device sent them, or the journal was lost.
    pub unknown: u64,
}

/// Results out of the journal, and where to read on.
#[derive(Debug)]
pub struct ResultPage {
    /// Oldest first; empty at the end.
    pub files: Vec<Finished>,
    /// Hand this in for the next page.
    pub next: i64,
}

impl Client {
    /// Asks the server for results that are not in the journal yet, and once more for those that could not be fetched before. Says
    /// which still cannot.
    ///
    /// # Errors
    ///
    /// If it cannot be reached, or the journal cannot be written.
    pub async fn fetch_results(&self) -> Result<Fetched, Error> {
        let unknown = self.desk.inbox.catch_up().await?;
        let mut left = Vec::new();
        let mut asked: HashSet<(UploadId, u32)> = HashSet::new();
        loop {
            let unfetched = self.base.journal.unfetched(&self.base.config.account(), UNFETCHED_PER_PAGE).await?;
            let unfetched =
                of_first_events(unfetched.into_iter().filter(|one| !asked.contains(&(one.upload, one.job))));
            if unfetched.is_empty() {
                break;
            }
            asked.extend(unfetched.iter().map(|one| (one.upload, one.job)));
            // Those of this page that are not asked for now come with the next one.
            for (place, reason) in self.desk.inbox.fetch_again(unfetched).await?.left {
                left.push((place, reason));
            }
        }
        let mut still = Vec::new();
        for (place, reason) in left {
            let places = self.base.journal.places(&[place]).await?;
            let sent = places.into_iter().find(|place| !place.reused);
            still.extend(sent.map(|sent| StillToFetch { path: sent.path, place, reason }));
        }
        Ok(Fetched { left: still, unknown })
    }

    /// The last words on files in the journal, from behind `after` on (0: the beginning). They are opened and checked
    /// again.
    ///
    /// # Errors
    ///
    /// Errors of the journal.
    pub async fn results(&self, after: i64) -> Result<ResultPage, Error> {
        let mut places = self.base.journal.ended_files(&self.base.config.account(), after, PER_PAGE).await?;
        let is_done = |place: &FilePlace| place.state == FileState::Done;
        let done: Vec<_> =
            places.iter().filter(|place| is_done(place)).map(|place| (place.upload, place.index)).collect();
        // A result may be long, and all of a page are held in memory: the others are for the next page.
        let portion = self.desk.inbox.portions(&done).await?.into_iter().next().unwrap_or_default();
        let mut left = portion.len();
        let fits = |place: &FilePlace| {
            let fits = !is_done(place) || left > 0;
            left -= usize::from(fits && is_done(place));
            fits
        };
        let end = places.iter().map(fits).position(|fits| !fits).unwrap_or(places.len());
        places.truncate(end);
        let next = places.last().map_or(after, |place| place.row);
        let opened = self.desk.inbox.reopen(&portion).await?;
        let opened: HashMap<_, _> = opened.into_iter().map(|(place, reopened)| (place, reopened.ending)).collect();
        let mut files = Vec::with_capacity(places.len());
        for place in places {
            let ending = match place.state {
                FileState::Failed => Some(Ending::NotSent {
                    code: NotSent::Failed,
                    message: place.message.clone().unwrap_or_default(),
                    error: None,
                }),
                _ => opened.get(&(place.upload, place.index)).cloned(),
            };
            files.extend(ending.map(|ending| finished(place, ending)));
        }
        Ok(ResultPage { files, next })
    }

    /// Opens a sealed result in a file, checks it against the journal, and says what it is about.
    ///
    /// # Errors
    ///
    /// [`Error::File`], [`Error::NotSealed`], [`Error::Result`] if it is not to be believed, [`Error::UnknownUpload`] if the journal cannot tell.
    pub async fn open_file(&self, path: &Path) -> Result<Finished, Error> {
        let owned = path.to_owned();
        let identity = std::sync::Arc::clone(&self.base.identity);
        let unverified = tokio::task::spawn_blocking(move || {
            let sealed = read_sealed(&owned)?;
            open_result(&sealed, std::slice::from_ref(&*identity)).map_err(|error| match error {
                ResultError::Envelope(EnvelopeError::NotAge) => Error::NotSealed { path: owned },
                error => Error::Result(error),
            })
        })
        .await
        .map_err(|_| Error::Stopped)??;
        let (upload, task, index) =
            (unverified.claimed_upload(), unverified.claimed_task(), unverified.claimed_index());
        let unknown = || Error::UnknownUpload { path: path.to_owned(), upload: upload.to_string() };
        let keys = self.desk.inbox.keys_of(upload).await?.ok_or_else(unknown)?;
        let places = self.base.journal.places(&[(upload, index)]).await?;
        let place = places.into_iter().find(|place| !place.reused).ok_or_else(unknown)?;
        let expected = Expected {
            format: keys.format,
            upload,
            task,
            index,
            header: keys.header_digest,
            releases: keys.releases(task),
            length: place.size,
            sha256: sha256(&place),
        };
        let body = unverified.verify(&keys.key, &expected).map_err(Error::Result)?;
        Ok(finished(place, Ending::of(body).0))
    }
}

pub(crate) fn finished(place: FilePlace, ending: Ending) -> Finished {
    Finished {
        sha256: sha256(&place),
        path: place.path,
        size: place.size,
        engine: place.engine,
        parameters: place.parameters,
        place: Some((place.upload, place.index)),
        reused: place.reused,
        supersedes: place.former.is_some(),
        ending,
    }
}

fn sha256(place: &FilePlace) -> Option<filemill_seal::Digest> {
    match place.verdict {
        Some(Verdict::Intact(sha256)) => Some(sha256),
        _ => None,
    }
}

fn read_sealed(path: &Path) -> Result<Vec<u8>, Error> {
    use std::io::Read;

    let failed = |error: std::io::Error| Error::file("read", path, &error);
    let mut sealed = Vec::new();
    let file = std::fs::File::open(path).map_err(failed)?;
    file.take(RESULT_MAX_SEALED_BYTES as u64 + 1).read_to_end(&mut sealed).map_err(failed)?;
    if sealed.len() > RESULT_MAX_SEALED_BYTES {
        return Err(Error::File {
            action: "read",
            path: path.to_owned(),
            detail: "it is longer than a sealed result can be".to_owned(),
        });
    }
    Ok(sealed)
}
