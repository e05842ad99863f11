//! Counting what is left out of what was named.

use std::path::PathBuf;

use crate::event::Note;
use crate::rules::LeftOut;

/// How much was left out.
#[derive(Default)]
pub(super) struct LeftOutCounts {
    files: u64,
    folders: u64,
    temporary: u64,
    version_control: u64,
    by_pattern: u64,
}

impl LeftOutCounts {
    pub(super) fn count(&mut self, why: &LeftOut, is_folder: bool) {
        if is_folder {
            self.folders += 1;
        } else {
            self.files += 1;
        }
        match why {
            LeftOut::Temporary | LeftOut::System => self.temporary += 1,
            LeftOut::VersionControl => self.version_control += 1,
            LeftOut::Pattern { .. } => self.by_pattern += 1,
            // Whoever wrote these knows.
            LeftOut::Rules | LeftOut::Unknown { .. } => {}
        }
    }

    /// What to say of what was left out without anybody asking for it.
    pub(super) fn notes(&self) -> Vec<Note> {
        let temporary = (self.temporary > 0).then_some(Note::TemporaryLeftOut { count: self.temporary });
        let version_control =
            (self.version_control > 0).then_some(Note::VersionControlLeftOut { count: self.version_control });
        temporary.into_iter().chain(version_control).collect()
    }

    /// What to say where no file is left of what was named.
    pub(super) fn nothing_found(&self, named: Vec<PathBuf>) -> Note {
        let Self { files, folders, temporary, version_control, by_pattern } = *self;
        Note::NothingFound { named, files, folders, by_pattern, built_in: temporary + version_control }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_version_control_keeps_is_not_said_to_be_temporary() {
        let mut left_out = LeftOutCounts::default();
        for why in [LeftOut::Rules, LeftOut::VersionControl, LeftOut::VersionControl] {
            left_out.count(&why, true);
        }
        assert_eq!(left_out.notes(), [Note::VersionControlLeftOut { count: 2 }]);
        left_out.count(&LeftOut::System, false);
        assert_eq!(left_out.notes()[0], Note::TemporaryLeftOut { count: 1 });
        let nothing = left_out.nothing_found(Vec::new());
        assert_eq!(nothing, Note::NothingFound { named: Vec::new(), files: 1, folders: 3, by_pattern: 0, built_in: 3 });
    }
}
