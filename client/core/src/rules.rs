//! Which files are left out: gitignore rules, from files in the folder and from the user.

mod file;

use std::path::{Path, PathBuf};

use ignore::gitignore::{Gitignore, GitignoreBuilder};

use crate::error::Error;
use crate::tree::Tree;
pub(crate) use file::read_rule_file;

/// Files of a folder that hold rules, the later ones over the earlier.
const RULE_FILES: [&str; 2] = [".gitignore", ".filemillignore"];

/// Rules for one folder and what lies below it.
pub(crate) struct Rules {
    folder: PathBuf,
    rules: Gitignore,
    unread: Vec<(PathBuf, String)>,
}

impl Rules {
    /// Leaves nothing out.
    pub(crate) fn none() -> Self {
        Self { folder: PathBuf::new(), rules: Gitignore::empty(), unread: Vec::new() }
    }

    /// The rules of `folder`'s own rule files, and then the user's `globs`. A line of a rule file that is no pattern is
    /// passed over, as git does; a rule file that cannot be read is [told](Self::unread).
    ///
    /// # Errors
    ///
    /// [`Error::Glob`] for one of `globs` that is no pattern.
    pub(crate) fn new(folder: &Path, globs: &[String]) -> Result<Self, Error> {
        let mut builder = GitignoreBuilder::new(folder);
        let mut unread = Vec::new();
        if let Ok(tree) = Tree::at(folder) {
            for name in RULE_FILES {
                match read_rule_file(&tree, Path::new(name)) {
                    Ok(lines) => {
                        for line in lines {
                            let _ = builder.add_line(None, &line);
                        }
                    }
                    Err(reason) => unread.push((folder.join(name), reason)),
                }
            }
        }
        match Self::with_globs(folder, builder, globs) {
            Ok(rules) => Ok(Self { unread, ..rules }),
            // The user's globs must hold whatever stands in the files.
            Err(error) => {
                let rules = Self::globs_only(folder, globs)?;
                unread.push((folder.to_owned(), error.to_string()));
                Ok(Self { unread, ..rules })
            }
        }
    }

    /// Only the user's `globs`: what was named by hand is not left out because of a rule file.
    pub(crate) fn globs_only(folder: &Path, globs: &[String]) -> Result<Self, Error> {
        Self::with_globs(folder, GitignoreBuilder::new(folder), globs)
    }

    fn with_globs(folder: &Path, mut builder: GitignoreBuilder, globs: &[String]) -> Result<Self, Error> {
        for glob in globs {
            builder
                .add_line(None, glob)
                .map_err(|error| Error::Glob { glob: glob.clone(), detail: error.to_string() })?;
        }
        let rules =
            builder.build().map_err(|error| Error::Glob { glob: globs.join(" "), detail: error.to_string() })?;
        Ok(Self { folder: folder.to_owned(), rules, unread: Vec::new() })
    }

    /// Rule files whose rules do not hold, and why: whoever put them there has to know.
    pub(crate) fn unread(&self) -> impl Iterator<Item = (&Path, String)> {
        self.unread.iter().map(|(path, reason)| (path.as_path(), format!("its rules do not hold: {reason}")))
    }

    /// Whether to leave out `path`, an absolute path whose folders are not left out themselves.
    pub(crate) fn ignore(&self, path: &Path, is_folder: bool) -> bool {
        self.rules.matched(path, is_folder).is_ignore()
    }

    /// Whether to leave out `path` or a folder that it lies in.
    pub(crate) fn ignore_deep(&self, path: &Path, is_folder: bool) -> bool {
        // Outside of the folder the rules say nothing; the look-up would panic.
        path.starts_with(&self.folder)
            && !self.folder.as_os_str().is_empty()
            && self.rules.matched_path_or_any_parents(path, is_folder).is_ignore()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_below_an_ignored_folder_is_ignored() {
        let rules = Rules::new(Path::new("/data"), &["cache/".to_owned(), "*.tmp".to_owned()]).unwrap();
        assert!(rules.ignore_deep(Path::new("/data/a/cache/x"), false));
        assert!(rules.ignore_deep(Path::new("/data/a/x.tmp"), false));
        assert!(!rules.ignore_deep(Path::new("/data/a/x"), false));
        assert!(!rules.ignore_deep(Path::new("/elsewhere/x.tmp"), false));
    }

    #[test]
    fn a_bad_pattern_of_the_user_is_named() {
        let error = Rules::new(Path::new("/data"), &["a/{b".to_owned()]);
        assert!(matches!(error, Err(Error::Glob { glob, .. }) if glob == "a/{b"));
    }
}
