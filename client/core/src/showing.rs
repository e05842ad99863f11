//! One result, and what is needed to show it to somebody who does not know the engine.

use std::path::Path;

use filemill_seal::{Digest, UploadId};

use crate::client::Client;
use crate::display::Description;
use crate::ending::{Ending, Finished, NotSent};
use crate::error::Error;
use crate::journal::{FilePlace, FileState};
use crate::results::finished;

impl Client {
    /// The last word on a file of an upload, out of the journal.
    ///
    /// # Errors
    ///
    /// [`Error::NoResult`], and errors of the journal.
    pub async fn result_of(&self, upload: UploadId, index: u32) -> Result<Finished, Error> {
        let places = self.base.journal.places(&[(upload, index)]).await?;
        self.last_word(places.into_iter().find(|place| !place.reused), || format!("{upload}/{index}")).await
    }

    /// The last word on the file at `path`, which may be gone, out of the journal.
    ///
    /// # Errors
    ///
    /// [`Error::NoResult`], and errors of the journal.
    pub async fn result_at(&self, path: &Path) -> Result<Finished, Error> {
        let absolute = std::fs::canonicalize(path).or_else(|_| std::path::absolute(path));
        let absolute = absolute.map_err(|error| Error::file("find", path, &error))?;
        let place = self.base.journal.ended_at(&self.base.config.account(), &absolute).await?;
        self.last_word(place, || path.to_string_lossy().into_owned()).await
    }

    async fn last_word(&self, place: Option<FilePlace>, name: impl Fn() -> String) -> Result<Finished, Error> {
        let none = || Error::NoResult { what: name() };
        let place = place.ok_or_else(none)?;
        if place.state == FileState::Failed {
            let message = place.message.clone().unwrap_or_default();
            return Ok(finished(place, Ending::NotSent { code: NotSent::Failed, message, error: None }));
        }
        let at = (place.upload, place.index);
        let opened = self.desk.inbox.reopen(&[at]).await?.remove(&at).ok_or_else(none)?;
        Ok(finished(place, opened.ending))
    }

    /// What the engine says of itself that made this report: exactly the document that the processor had, by the SHA-256 that
    /// is sealed with the report, asked for by that and checked against it. Asked for once, and kept in the journal. `None` if
    /// there is no report, or the processor had no such document.
    ///
    /// # Errors
    ///
    /// [`Error::OtherDescription`] if the server hands out another one, and what concerns all requests: the report can be shown
    /// without it.
    pub async fn description_of(&self, file: &Finished) -> Result<Option<Description>, Error> {
        let (Ending::Succeeded { report, .. }, Some((upload, _))) = (&file.ending, file.place) else {
            return Ok(None);
        };
        let Some(digest) = report.description else {
            return Ok(None);
        };
        let is_it = |document: &String| Digest::of(document.as_bytes()) == digest;
        if let Some(document) = self.base.journal.description(&digest).await?.filter(is_it) {
            return Ok(Description::read(&document));
        }
        let keys = self.desk.inbox.keys_of(upload).await?;
        // What the server is asked for is that document, by whichever release.
        let Some(release) = keys.as_ref().and_then(|keys| keys.releases(0).first()) else {
            return Ok(None);
        };
        let document = self.base.api.description(release, &digest).await?;
        if !is_it(&document) {
            return Err(Error::OtherDescription { engine: file.engine.clone() });
        }
        let description = Description::read(&document);
        match self.base.journal.keep_description(digest, document).await {
            // It is asked for again the next time.
            Ok(()) | Err(Error::JournalFull { .. }) => Ok(description),
            Err(error) => Err(error),
        }
    }
}
