//! Where the user's secret key is kept: in the operating system's keychain, or in a private file if that is allowed.

use std::io::ErrorKind;
use std::sync::Arc;

use filemill_seal::{Identity, KeyError};
use keyring_core::{CredentialStore, Entry};
use zeroize::Zeroizing;

use crate::config::{note_key_place, noted_key_place};
use crate::error::Error;
use crate::home::{Home, read_text, write_private};
use crate::key_place::KeyPlace;

/// The keychain's name for what this program keeps.
const SERVICE: &str = "filemill";

/// Reads the identity of `home`, from its file if there is one, else from the keychain. Blocks.
///
/// # Errors
///
/// [`Error::NoKey`] if there is none yet, [`Error::KeyLost`] if there was one, [`Error::NoKeychain`] if it cannot be known,
/// [`Error::NoKeyIn`] or [`Error::Key`] if it is damaged.
pub fn load_identity(home: &Home) -> Result<Identity, Error> {
    load_from(home, KeyPlace::from_environment())
}

/// As [`load_identity`], where somebody says that a key would be at `place`.
fn load_from(home: &Home, place: KeyPlace) -> Result<Identity, Error> {
    let no_key_in = |error| Error::NoKeyIn { path: home.key(), error };
    match read_text(&home.key()) {
        Ok(Some(text)) => return parse_identity(&Zeroizing::new(text)).map_err(no_key_in),
        Ok(None) => {}
        Err(Error::Malformed { .. }) => return Err(no_key_in(KeyError::Identity)),
        Err(error) => return Err(error),
    }
    let none = || {
        let (was_there, home) = (home.config().exists(), home.path().to_owned());
        if was_there { Error::KeyLost { home } } else { Error::NoKey { home } }
    };
    let noted = noted_key_place(home);
    if noted == Some(KeyPlace::File) {
        return Err(none());
    }
    let entry = match keychain_entry(home) {
        // Without a keychain there is no key in it either, as far as whoever chose a file is concerned.
        Err(Error::NoKeychain { .. }) if noted.unwrap_or(place) == KeyPlace::File => return Err(none()),
        entry => entry?,
    };
    match entry.get_password() {
        Ok(secret) => parse_identity(&Zeroizing::new(secret)).map_err(Error::Key),
        Err(keyring_core::Error::NoEntry) => Err(none()),
        Err(error) => Err(Error::Keychain { detail: error.to_string() }),
    }
}

/// Reads the identity of `home`, or makes and keeps a new one if there is none. Blocks.
///
/// # Errors
///
/// As [`load_identity`], except that a missing key is made, unless this home was logged in before: then it is an
/// [`Error::KeyLost`]. [`Error::File`] or [`Error::Keychain`] if it cannot be kept.
pub fn load_or_create_identity(home: &Home, place: KeyPlace) -> Result<Identity, Error> {
    // Two programs at once must not make two keys.
    let _lock = home.lock("key.lock")?;
    match load_from(home, place) {
        // Where there was one, another would be taken without a word, and no result that is on its way could be opened.
        Err(Error::NoKey { .. }) => {}
        other => return other,
    }
    let identity = Identity::generate();
    keep(home, place, &identity)?;
    Ok(identity)
}

/// Keeps `identity` as the one of `home`. Blocks.
///
/// # Errors
///
/// [`Error::OtherKey`] if there is another and `replace` is false; [`Error::File`], [`Error::NoKeychain`] or
/// [`Error::Keychain`] if it cannot be kept.
pub fn import_identity(home: &Home, place: KeyPlace, identity: &Identity, replace: bool) -> Result<(), Error> {
    let _lock = home.lock("key.lock")?;
    match load_from(home, place) {
        Ok(known) if known.recipient() == identity.recipient() => return Ok(()),
        Ok(known) if !replace => {
            return Err(Error::OtherKey { home: home.path().to_owned(), recipient: known.recipient().to_string() });
        }
        Ok(_) | Err(Error::NoKey { .. } | Error::KeyLost { .. } | Error::NoKeyIn { .. } | Error::Key(_)) => {}
        // The keychain that had it may be gone for good.
        Err(Error::NoKeychain { .. }) if place == KeyPlace::File => {}
        Err(error) => return Err(error),
    }
    keep(home, place, identity)
}

/// Parses what [`Identity::expose_secret`] or `age-keygen` wrote: comments, and one line with the key.
///
/// # Errors
///
/// Where there is no key in it.
pub fn parse_identity(text: &str) -> Result<Identity, KeyError> {
    let line = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#')).unwrap_or_default();
    line.parse()
}

/// Keeps the key, and notes where.
fn keep(home: &Home, place: KeyPlace, identity: &Identity) -> Result<(), Error> {
    match place {
        KeyPlace::File => {
            let secret = identity.expose_secret();
            let text = Zeroizing::new(format!("# public key: {}\n{}\n", identity.recipient(), *secret));
            write_private(&home.key(), &text)?;
            note_key_place(home, place)
        }
        KeyPlace::Keychain => keep_in(&keychain_entry(home)?, home, identity),
    }
}

/// Keeps the key in the keychain. Only when that is noted does the one in a file go, which is found first: without either, the key
/// would count as lost.
fn keep_in(keychain: &Entry, home: &Home, identity: &Identity) -> Result<(), Error> {
    let secret = identity.expose_secret();
    keychain.set_password(&secret).map_err(|error| Error::Keychain { detail: error.to_string() })?;
    note_key_place(home, KeyPlace::Keychain)?;
    match std::fs::remove_file(home.key()) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(Error::file("remove", &home.key(), &error)),
        _ => Ok(()),
    }
}

/// The keychain's entry for this home: its path, so that two homes of one user do not share a key unasked.
fn keychain_entry(home: &Home) -> Result<Entry, Error> {
    let store = keychain().map_err(|error| Error::NoKeychain { detail: error.to_string() })?;
    store
        .build(SERVICE, &home.path().to_string_lossy(), None)
        .map_err(|error| Error::NoKeychain { detail: error.to_string() })
}

#[cfg(all(unix, not(target_vendor = "apple")))]
fn keychain() -> keyring_core::Result<Arc<CredentialStore>> {
    // libdbus would start a bus of its own where there is none.
    if std::env::var_os("DBUS_SESSION_BUS_ADDRESS").is_none() && !runtime_bus_is_there() {
        return Err(keyring_core::Error::NotSupportedByStore("there is no session bus (D-Bus)".to_owned()));
    }
    Ok(dbus_secret_service_keyring_store::Store::new()?)
}

#[cfg(all(unix, not(target_vendor = "apple")))]
fn runtime_bus_is_there() -> bool {
    std::env::var_os("XDG_RUNTIME_DIR").is_some_and(|folder| std::path::Path::new(&folder).join("bus").exists())
}

#[cfg(target_vendor = "apple")]
fn keychain() -> keyring_core::Result<Arc<CredentialStore>> {
    Ok(apple_native_keyring_store::keychain::Store::new()?)
}

#[cfg(windows)]
fn keychain() -> keyring_core::Result<Arc<CredentialStore>> {
    Ok(windows_native_keyring_store::Store::new()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home() -> (tempfile::TempDir, Home) {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path()).unwrap();
        (folder, home)
    }

    #[test]
    fn a_key_in_a_file_is_made_once_and_kept() {
        let (_folder, home) = home();
        let made = load_or_create_identity(&home, KeyPlace::File).unwrap();
        let again = load_or_create_identity(&home, KeyPlace::File).unwrap();
        assert_eq!(made.recipient(), again.recipient());
        assert_eq!(load_identity(&home).unwrap().recipient(), made.recipient());
    }

    #[test]
    fn a_key_that_is_gone_is_not_made_anew_without_a_word() {
        let (_folder, home) = home();
        let made = load_or_create_identity(&home, KeyPlace::File).unwrap();
        write_private(&home.config(), "{}").unwrap();
        std::fs::File::create(home.key()).unwrap();
        assert!(matches!(load_or_create_identity(&home, KeyPlace::File), Err(Error::NoKeyIn { .. })), "it is empty");
        std::fs::write(home.key(), vec![0xff; 9]).unwrap();
        assert!(matches!(load_or_create_identity(&home, KeyPlace::File), Err(Error::NoKeyIn { .. })), "it is not text");
        std::fs::remove_file(home.key()).unwrap();
        assert!(matches!(load_or_create_identity(&home, KeyPlace::File), Err(Error::KeyLost { .. })), "it is gone");
        assert!(!home.key().exists());
        // A login would have noted where it was.
        write_private(&home.config(), "{\"key_store\":\"file\"}").unwrap();
        assert!(matches!(load_identity(&home), Err(Error::KeyLost { .. })), "a keychain was asked for it");
        import_identity(&home, KeyPlace::File, &made, false).unwrap();
        assert_eq!(load_or_create_identity(&home, KeyPlace::File).unwrap().recipient(), made.recipient());
    }

    #[test]
    fn another_key_is_not_overwritten_unasked() {
        let (_folder, home) = home();
        let first = load_or_create_identity(&home, KeyPlace::File).unwrap();
        let second = Identity::generate();
        let refused = import_identity(&home, KeyPlace::File, &second, false);
        assert!(matches!(refused, Err(Error::OtherKey { .. })));
        assert_eq!(load_identity(&home).unwrap().recipient(), first.recipient());
        import_identity(&home, KeyPlace::File, &second, true).unwrap();
        assert_eq!(load_identity(&home).unwrap().recipient(), second.recipient());
    }

    #[test]
    fn a_key_in_a_file_goes_only_when_it_is_noted_that_another_is_in_the_keychain() {
        let (_folder, home) = home();
        let enrolment = format!(r#"{{"filemill_enrolment":1,"pool":"main","root":"{}"}}"#, "ab".repeat(32));
        let config = serde_json::json!({
            "version": 1, "server": "http://127.0.0.1:1", "organisation": "acme", "user": "ada",
            "enrolment": enrolment, "storage_origins": [], "key_store": "file",
        });
        write_private(&home.config(), &config.to_string()).unwrap();
        let former = Identity::generate();
        keep(&home, KeyPlace::File, &former).unwrap();
        let store: Arc<CredentialStore> = keyring_core::mock::Store::new().unwrap();
        let keychain = store.build(SERVICE, "home", None).unwrap();
        // In the way of what is written.
        let part = home.config().with_extension("part");
        std::fs::create_dir(&part).unwrap();
        keep_in(&keychain, &home, &Identity::generate()).unwrap_err();
        assert_eq!(load_identity(&home).unwrap().recipient(), former.recipient());
        std::fs::remove_dir(&part).unwrap();
        keep_in(&keychain, &home, &Identity::generate()).unwrap();
        assert!(!home.key().exists());
        assert_eq!(noted_key_place(&home), Some(KeyPlace::Keychain));
    }

    #[test]
    fn a_key_file_of_age_keygen_is_understood() {
        let identity = Identity::generate();
        let text = format!("# created: today\n# public key: {}\n{}\n", identity.recipient(), *identity.expose_secret());
        assert_eq!(parse_identity(&text).unwrap().recipient(), identity.recipient());
        assert!(parse_identity("# nothing\n").is_err());
    }
}
