//! The systemd units of `deploy/systemd/`, with the places below a prefix put in.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::tree::Tree;

/// Where the templates are.
const TEMPLATES: &str = "deploy/systemd";

/// Where units go, below the prefix: systemd looks there below `~/.local`, `/usr/local` and `/usr`.
pub(super) const FOLDER: &str = "share/systemd/user";

/// Every unit with its name.
///
/// # Errors
///
/// When a template cannot be read, or the prefix cannot be written in a unit.
pub(super) fn all(tree: &Tree, prefix: &Path) -> Result<Vec<(String, String)>> {
    let folder = tree.root().join(TEMPLATES);
    let mut units = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("cannot list `{}`", folder.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "service") {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let template = fs::read_to_string(&path).with_context(|| format!("cannot read `{}`", path.display()))?;
            units.push((name, filled(&template, prefix)?));
        }
    }
    Ok(units)
}

fn filled(template: &str, prefix: &Path) -> Result<String> {
    Ok(template.replace("@BIN@", &quotable(&prefix.join("bin"))?))
}

/// A path as it stands between double quotes in a unit.
fn quotable(path: &Path) -> Result<String> {
    match path.to_str().filter(|path| !path.contains(['"', '\\', '$', '@']) && !path.contains(char::is_control)) {
        Some(path) => Ok(path.replace('%', "%%")),
        None => bail!("`{}` cannot be written in a systemd unit\nhint: choose a plainer `--prefix`", path.display()),
    }
}

/// How a person makes services of the units.
pub(super) fn how_to_enable(prefix: &Path) -> Vec<String> {
    let folder = prefix.join(FOLDER);
    let mut lines = vec!["services of yours, by systemd; each unit says in its head what it needs:".to_owned()];
    if !is_searched(&prefix.join("share")) {
        lines.push(format!("  systemctl --user link {}/*.service", folder.display()));
    }
    lines.push("  systemctl --user daemon-reload".into());
    lines.push("  systemctl --user enable --now filemill-server filemill-processor".into());
    lines.push("  systemctl --user enable --now \"filemill-watch@$(systemd-escape --path ~/FOLDER)\"".into());
    lines
}

/// Whether systemd looks for units in the folder `systemd/user` in this one.
fn is_searched(share: &Path) -> bool {
    let given = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
    let own = given("XDG_DATA_HOME").map(PathBuf::from);
    let own = own.or_else(|| given("HOME").map(|home| Path::new(&home).join(".local/share")));
    let of_all = given("XDG_DATA_DIRS").unwrap_or_else(|| "/usr/local/share:/usr/share".into());
    own.into_iter().chain(env::split_paths(&of_all)).any(|folder| folder == share)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_names_its_program_below_the_prefix_and_leaves_nothing_to_fill_in() {
        let tree = Tree::locate().expect("a checkout");
        let units = all(&tree, Path::new("/opt/50% more")).expect("filled");
        assert_eq!(units.len(), 3);
        for (name, text) in units {
            assert!(text.contains("\nExecStart=\"/opt/50%% more/bin/filemill"), "{name}:\n{text}");
            assert!(!text.contains("@BIN@"), "{name}:\n{text}");
            assert!(text.contains("\nNoNewPrivileges=yes\n") && text.contains("\nUMask=0077\n"), "{name}:\n{text}");
        }
    }

    #[test]
    fn a_prefix_that_would_mean_something_else_in_a_unit_is_refused() {
        for prefix in ["/a\nExecStartPre=/bin/evil", "/a\"b", "/$HOME"] {
            assert!(filled("", Path::new(prefix)).is_err(), "{prefix:?}");
        }
    }
}
