//! Lists a folder of objects in the order of their keys.

use std::fs::{DirEntry, Metadata};
use std::io;
use std::path::Path;

/// Up to `most` objects of `bucket` whose key starts with `prefix` and sorts behind `after`, in byte order of the key.
///
/// Only folders that can hold such a key are read, so that going through pages costs no more than one walk.
pub(super) fn list(bucket: &Path, prefix: &str, after: &str, most: usize) -> io::Result<Vec<(String, Metadata)>> {
    let mut walk = Walk { prefix, after, most, found: Vec::new() };
    let folder = prefix.rsplit_once('/').map_or("", |(folder, _)| folder);
    let start = if folder.is_empty() { String::new() } else { format!("{folder}/") };
    walk.folder(&bucket.join(folder), &start)?;
    Ok(walk.found)
}

struct Walk<'a> {
    prefix: &'a str,
    after: &'a str,
    most: usize,
    found: Vec<(String, Metadata)>,
}

impl Walk<'_> {
    fn folder(&mut self, path: &Path, start: &str) -> io::Result<()> {
        let mut entries = match std::fs::read_dir(path) {
            Ok(entries) => {
                entries.filter_map(|entry| self.key(start, entry).transpose()).collect::<io::Result<Vec<_>>>()?
            }
            // Deleted meanwhile, or never made: there is nothing in it.
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        entries.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        for (key, entry) in entries {
            if self.found.len() >= self.most {
                break;
            }
            if key.ends_with('/') {
                self.folder(&entry.path(), &key)?;
            } else if key.as_str() > self.after {
                match entry.metadata() {
                    Ok(metadata) => self.found.push((key, metadata)),
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }

    /// The entry with its key, in which a folder ends in a slash, as it does where keys are compared; none if nothing
    /// in it is asked for.
    fn key(&self, start: &str, entry: io::Result<DirEntry>) -> io::Result<Option<(String, DirEntry)>> {
        let entry = entry?;
        let name = entry.file_name();
        let Some(name) = name.to_str() else { return Ok(None) };
        let slash = if entry.file_type()?.is_dir() { "/" } else { "" };
        let key = format!("{start}{name}{slash}");
        let may_match = key.starts_with(self.prefix) || (slash == "/" && self.prefix.starts_with(&key));
        // A folder is behind `after`, or `after` is inside it.
        let may_follow = key.as_str() > self.after || (slash == "/" && self.after.starts_with(&key));
        Ok((may_match && may_follow).then_some((key, entry)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_the_order_of_keys_and_end() -> io::Result<()> {
        let root = tempfile::tempdir()?;
        // `-` and `.` sort before `/`, digits behind it.
        let mut keys = vec!["a/1", "a/10/x", "a/2", "a-b/1", "a.c", "b/c/d", "a/1.x/y"];
        for key in &keys {
            let path = root.path().join(key);
            // `a/1` cannot be both file and folder here; none of the keys asks for it.
            std::fs::create_dir_all(path.parent().ok_or(io::ErrorKind::InvalidInput)?)?;
            std::fs::write(path, key)?;
        }
        keys.sort_unstable();
        let mut seen = Vec::new();
        let mut after = String::new();
        loop {
            let page = list(root.path(), "", &after, 2)?;
            let Some((last, _)) = page.last() else { break };
            after.clone_from(last);
            seen.extend(page.into_iter().map(|(key, _)| key));
        }
        assert_eq!(seen, keys);
        let under_a: Vec<_> = list(root.path(), "a/1", "", 100)?.into_iter().map(|(key, _)| key).collect();
        assert_eq!(under_a, ["a/1", "a/1.x/y", "a/10/x"]);
        assert!(list(root.path(), "nothing/", "", 100)?.is_empty());
        Ok(())
    }
}
