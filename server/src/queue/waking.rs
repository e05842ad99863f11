//! Whose runs became ready or partial: noted in the transactions that make them so, for the leasing task.

use std::collections::HashMap;

use crate::store::queue::UploadRow;

/// Whose runs became ready or partial, by pool.
#[derive(Debug, Default)]
pub(super) struct Woken(pub(super) HashMap<String, WokenInPool>);

/// By needs and member, the organisation and the first place.
pub(super) type WokenInPool = HashMap<(i64, i64), (i64, i64)>;

/// The same, of one transaction.
#[derive(Debug, Default)]
pub(crate) struct Waking(HashMap<(String, i64, i64), (i64, i64)>);

impl Waking {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A run of the upload, of these needs, is at this place.
    pub(crate) fn add(&mut self, upload: &UploadRow, needs: i64, vstart: i64) {
        let (_, first) =
            self.0.entry((upload.pool.clone(), needs, upload.member)).or_insert((upload.organisation, vstart));
        *first = vstart.min(*first);
    }
}

impl Woken {
    /// These, too.
    pub(super) fn add(&mut self, waking: Waking) {
        for ((pool, needs, member), (organisation, vstart)) in waking.0 {
            let (_, first) = self.0.entry(pool).or_default().entry((needs, member)).or_insert((organisation, vstart));
            *first = vstart.min(*first);
        }
    }
}
