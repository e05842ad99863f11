//! The fake's database, copied away and restored.

use std::collections::{BTreeMap, HashMap, HashSet};

use filemill_api::Event;

use super::{Fake, Upload};

/// What the database held. Storage is another matter.
pub(crate) struct Backup {
    uploads: HashMap<String, Row>,
    order: Vec<String>,
    events: Vec<Event>,
}

/// Whether the header is stored, which chunks are, which files are done, and whether it was cancelled.
type Row = (bool, BTreeMap<u32, String>, HashSet<u32>, bool);

impl Fake {
    pub(crate) fn back_up(&self) -> Backup {
        let inner = self.lock();
        let row = |upload: &Upload| (upload.told_header, upload.stored.clone(), upload.done.clone(), upload.cancelled);
        Backup {
            uploads: inner.uploads.iter().map(|(id, upload)| (id.clone(), row(upload))).collect(),
            order: inner.order.clone(),
            events: inner.events.clone(),
        }
    }

    /// What happened since is forgotten; the server is started again, so that its streams end.
    pub(crate) fn restore(&self, backup: &Backup) {
        let mut inner = self.lock();
        inner.uploads.retain(|id, _| backup.uploads.contains_key(id));
        for (id, (told_header, stored, done, cancelled)) in &backup.uploads {
            let upload = inner.uploads.get_mut(id).unwrap();
            upload.told_header = *told_header;
            upload.stored = stored.clone();
            upload.done = done.clone();
            upload.cancelled = *cancelled;
        }
        inner.order = backup.order.clone();
        inner.events = backup.events.clone();
        inner.life += 1;
    }
}
