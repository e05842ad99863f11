//! What a login pinned: server, token, pool and storage origins.

use std::fs;
use std::io::ErrorKind;

use filemill_seal::{Enrolment, PoolError};
use filemill_transport::Origin;
use serde::{Deserialize, Serialize};
use url::Url;
use zeroize::Zeroizing;

use crate::error::Error;
use crate::home::{Home, prepare_private, read_text, write_private};
use crate::key_place::KeyPlace;
use crate::token::check_token;

/// Held while the files are changed, by a login or for a note, and while they are read: else the one would write over what the other
/// has written, or one login's token be read with another's server.
const LOCK: &str = "config.lock";

/// What a login pinned. The token and the pool's root are compared, never asked for again.
#[derive(Clone)]
pub struct Config {
    /// The server's address, without a path.
    pub server: Url,
    /// Name of the organisation that the token is bound to.
    pub organisation: String,
    /// Name of the user that the token was made for.
    pub user: String,
    /// The pool, with its root's public key.
    pub enrolment: Enrolment,
    /// Where presigned URLs may lead.
    pub storage_origins: Vec<String>,
    /// The bearer token.
    pub(crate) token: Zeroizing<String>,
}

/// The version that this program writes.
const VERSION: u32 = 1;

/// Which version a file is of.
#[derive(Deserialize)]
struct Version {
    version: u32,
}

/// Which pool is pinned in a file.
#[derive(Deserialize)]
struct Pinned {
    enrolment: String,
}

/// The file's form.
#[derive(Serialize, Deserialize)]
struct Text {
    version: u32,
    server: Url,
    organisation: String,
    user: String,
    enrolment: String,
    storage_origins: Vec<String>,
    #[serde(flatten)]
    notes: Notes,
}

/// What this program notes beside, so that it can tell later what is missing. Earlier versions noted nothing.
#[derive(Clone, Copy, Default, Serialize, Deserialize)]
struct Notes {
    /// Where the secret key is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key_store: Option<KeyPlace>,
    /// The mark that the journal bears.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    journal: Option<u32>,
}

impl Config {
    /// Reads what the last login left. Blocks.
    ///
    /// # Errors
    ///
    /// [`Error::NotLoggedIn`] if there was none, [`Error::File`] or [`Error::Malformed`] if it cannot be read, [`Error::Stopped`] if
    /// another program is in the way and nobody is to wait for it any more.
    pub fn load(home: &Home) -> Result<Self, Error> {
        // Between the two files another login may come, whose token is for no server but its own. Where nothing can be locked, as on
        // a disk that was full before there was a lock, they are read nevertheless.
        let _lock = match home.lock(LOCK) {
            Err(Error::Stopped) => return Err(Error::Stopped),
            lock => lock.ok(),
        };
        let not_logged_in = || Error::NotLoggedIn { home: home.path().to_owned() };
        let path = home.config();
        let text = read_text(&path)?.ok_or_else(not_logged_in)?;
        let malformed = |detail: String| Error::Malformed { path: path.clone(), detail };
        // What else a later version writes, this one need not understand.
        let Version { version } = serde_json::from_str(&text).map_err(|error| malformed(error.to_string()))?;
        if version > VERSION {
            return Err(Error::HomeVersion { path: path.clone(), found: version, newest: VERSION });
        }
        let text: Text = serde_json::from_str(&text).map_err(|error| malformed(error.to_string()))?;
        if text.version != VERSION {
            return Err(malformed(format!("it has version {}, which there never was", text.version)));
        }
        let token = Zeroizing::new(read_text(&home.token())?.ok_or_else(not_logged_in)?);
        check_token(token.trim()).map_err(|detail| Error::Malformed { path: home.token(), detail })?;
        Ok(Self {
            server: text.server,
            organisation: text.organisation,
            user: text.user,
            enrolment: Enrolment::from_json(&text.enrolment).map_err(Error::Pool)?,
            storage_origins: text.storage_origins,
            token: Zeroizing::new(token.trim().to_owned()),
        })
    }

    /// The pool that the last login pinned, whatever became of its token and of what else was written with it; `None` if there is none that
    /// can be read. Blocks.
    ///
    /// # Errors
    ///
    /// [`Error::HomeVersion`], [`Error::Pool`] for an enrolment of a later version, [`Error::File`] if the file cannot be read, and
    /// [`Error::Stopped`] as [`load`](Self::load).
    pub(crate) fn pinned(home: &Home) -> Result<Option<Enrolment>, Error> {
        let _lock = match home.lock(LOCK) {
            Err(Error::Stopped) => return Err(Error::Stopped),
            lock => lock.ok(),
        };
        let Some(text) = read_any(home)? else { return Ok(None) };
        if let Ok(Version { version }) = serde_json::from_str(&text)
            && version > VERSION
        {
            return Err(Error::HomeVersion { path: home.config(), found: version, newest: VERSION });
        }
        let Ok(Pinned { enrolment }) = serde_json::from_str(&text) else { return Ok(None) };
        match Enrolment::from_json(&enrolment) {
            Err(error @ PoolError::EnrolmentVersion { .. }) => Err(Error::Pool(error)),
            enrolment => Ok(enrolment.ok()),
        }
    }

    /// Keeps it, the token in a file of its own. Never do one login's token and another's server lie there together: if this ends in
    /// between, the home is logged in nowhere. Blocks.
    ///
    /// # Errors
    ///
    /// [`Error::File`] if it cannot be written.
    pub(crate) fn save(&self, home: &Home) -> Result<(), Error> {
        let _lock = home.lock(LOCK)?;
        let former = read_any(home)?.and_then(|text| serde_json::from_str::<Text>(&text).ok());
        let is_same = |former: Text| former.server == self.server && former.organisation == self.organisation;
        let text = Text {
            version: VERSION,
            server: self.server.clone(),
            organisation: self.organisation.clone(),
            user: self.user.clone(),
            enrolment: self.enrolment.to_json(),
            storage_origins: self.storage_origins.clone(),
            // The journal is the home's, whoever it is logged in to.
            notes: Notes { key_store: Some(KeyPlace::of(home)), ..notes(home)? },
        };
        let text = serde_json::to_string_pretty(&text)
            .map_err(|error| Error::Malformed { path: home.config(), detail: error.to_string() })?;
        // What may lack room comes first.
        let token = prepare_private(&home.token(), &self.token)?;
        let config = prepare_private(&home.config(), &text)?;
        if !former.is_some_and(is_same) {
            match fs::remove_file(home.token()) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(Error::file("remove", &home.token(), &error));
                }
                _ => {}
            }
        }
        config.put()?;
        token.put()
    }

    /// Names server and organisation: cursors and uploads of one mean nothing to another.
    pub(crate) fn account(&self) -> String {
        format!("{} {}", self.server, self.organisation)
    }
}

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Config")
            .field("server", &self.server.as_str())
            .field("organisation", &self.organisation)
            .field("user", &self.user)
            .field("enrolment", &self.enrolment)
            .field("storage_origins", &self.storage_origins)
            .finish_non_exhaustive()
    }
}

/// What the file holds, for a login that takes its place or for its notes. One that is malformed holds nothing for them, and is an
/// error for whoever needs what else is in it.
fn read_any(home: &Home) -> Result<Option<String>, Error> {
    match read_text(&home.config()) {
        Err(Error::Malformed { .. }) => Ok(None),
        read => read,
    }
}

fn notes(home: &Home) -> Result<Notes, Error> {
    Ok(read_any(home)?.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default())
}

/// Changes a note, if there is a config to note it in. Blocks.
fn note(home: &Home, change: impl FnOnce(&mut Notes)) -> Result<(), Error> {
    let _lock = home.lock(LOCK)?;
    let text = read_any(home)?.unwrap_or_default();
    let Ok(mut text) = serde_json::from_str::<Text>(&text) else { return Ok(()) };
    change(&mut text.notes);
    let text = serde_json::to_string_pretty(&text)
        .map_err(|error| Error::Malformed { path: home.config(), detail: error.to_string() })?;
    write_private(&home.config(), &text)
}

/// Where the secret key of `home` was, as it was noted last; `None` if nobody did.
pub(crate) fn noted_key_place(home: &Home) -> Option<KeyPlace> {
    notes(home).ok()?.key_store
}

/// Notes where the secret key is.
pub(crate) fn note_key_place(home: &Home, place: KeyPlace) -> Result<(), Error> {
    note(home, |notes| notes.key_store = Some(place))
}

/// The mark that the journal of `home` bears; `None` if it was not noted, or there was none yet.
pub(crate) fn noted_journal(home: &Home) -> Result<Option<u32>, Error> {
    Ok(notes(home)?.journal)
}

/// Notes the mark that the journal bears.
pub(crate) fn note_journal(home: &Home, mark: u32) -> Result<(), Error> {
    note(home, |notes| notes.journal = Some(mark))
}

/// Parses a server's address: http or https, a host, nothing behind it.
///
/// # Errors
///
/// [`Error::Address`] for anything else.
pub(crate) fn parse_server(text: &str) -> Result<Url, Error> {
    let refuse = |detail: &str| Error::Address { server: text.to_owned(), detail: detail.to_owned() };
    // The parser's own words are about references, which nobody meant to write.
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    let url = url.ok_or_else(|| refuse("it is neither http nor https"))?;
    if url.host_str().is_none() || !url.username().is_empty() || url.password().is_some() {
        return Err(refuse("it needs a host, and no user or password"));
    }
    if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
        return Err(refuse("nothing may stand behind the host and the port"));
    }
    Ok(url)
}

/// Whether what goes to this address cannot be read on the way: it is encrypted, or stays on this machine.
pub(crate) fn is_private(url: &Url) -> bool {
    Origin::of(url).is_private()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    fn only_an_origin_is_a_server() {
        for good in ["http://127.0.0.1:7300", "https://filemill.example/"] {
            parse_server(good).unwrap();
        }
        for bad in ["127.0.0.1:80", "ftp://a", "https://a/b", "https://u:p@a", "https://a/?q", "nonsense"] {
            assert!(matches!(parse_server(bad), Err(Error::Address { .. })), "{bad}");
        }
    }

    #[test]
    fn plain_http_is_private_on_this_machine_only() {
        for private in ["http://127.0.0.1:1", "http://localhost", "http://[::1]:1", "https://filemill.example"] {
            assert!(is_private(&parse_server(private).unwrap()), "{private}");
        }
        for public in ["http://filemill.example", "http://10.0.0.1", "http://localhost.example", "http://[::2]"] {
            assert!(!is_private(&parse_server(public).unwrap()), "{public}");
        }
    }

    fn config(server: &str, token: &str) -> Config {
        let enrolment = format!(r#"{{"filemill_enrolment":1,"pool":"main","root":"{}"}}"#, "ab".repeat(32));
        Config {
            server: parse_server(server).unwrap(),
            organisation: "acme".into(),
            user: "ada".into(),
            enrolment: Enrolment::from_json(&enrolment).unwrap(),
            storage_origins: vec!["http://127.0.0.1:2".into()],
            token: Zeroizing::new(token.into()),
        }
    }

    #[test]
    fn no_note_and_no_reader_brings_one_logins_token_to_anothers_server() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path()).unwrap();
        let logins = ["http://127.0.0.1:1", "http://127.0.0.1:2"].map(|server| config(server, &format!("fm_{server}")));
        logins[0].save(&home).unwrap();
        let done = AtomicBool::new(false);
        let until_done = |act: &dyn Fn()| {
            while !done.load(Ordering::Relaxed) {
                act();
            }
        };
        let (home, until_done) = (&home, &until_done);
        std::thread::scope(|threads| {
            threads.spawn(move || until_done(&|| note_journal(home, 7).unwrap()));
            threads.spawn(move || {
                until_done(&|| {
                    let loaded = Config::load(home).unwrap();
                    assert_eq!(format!("fm_{}", loaded.server.as_str().trim_end_matches('/')), *loaded.token);
                })
            });
            let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                for login in logins.iter().cycle().take(50) {
                    login.save(home).unwrap();
                    assert_eq!(Config::load(home).unwrap().server, login.server);
                }
            }));
            done.store(true, Ordering::Relaxed);
            ended.unwrap();
        });
        assert_eq!(noted_journal(home).unwrap(), Some(7), "a login lost what was noted");
    }

    #[test]
    fn a_login_that_cannot_be_written_leaves_the_former_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path()).unwrap();
        config("http://127.0.0.1:1", "fm_one").save(&home).unwrap();
        for part in [home.token(), home.config()].map(|path| path.with_extension("part")) {
            // In the way of what is written first.
            fs::create_dir(&part).unwrap();
            config("http://127.0.0.1:2", "fm_two").save(&home).unwrap_err();
            let loaded = Config::load(&home).unwrap();
            assert_eq!((loaded.server.port(), loaded.token.as_str()), (Some(1), "fm_one"));
            fs::remove_dir(&part).unwrap();
            let is_part = |entry: fs::DirEntry| entry.path().extension().is_some_and(|ending| ending == "part");
            assert!(!fs::read_dir(home.path()).unwrap().any(|entry| is_part(entry.unwrap())), "its token is left");
        }
    }

    #[test]
    fn what_a_later_version_wrote_is_called_that() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path()).unwrap();
        config("http://127.0.0.1:1", "fm_secret-token").save(&home).unwrap();
        let text = fs::read_to_string(home.config()).unwrap();
        let refused = |text: &str| {
            fs::write(home.config(), text).unwrap();
            Config::load(&home).unwrap_err()
        };
        let later = Error::HomeVersion { path: home.config(), found: 2, newest: 1 };
        assert_eq!(refused(&text.replace("\"version\": 1", "\"version\": 2")), later);
        assert_eq!(refused(r#"{"version":2,"all":"else"}"#), later);
        assert!(matches!(refused(r#"{"version":0}"#), Error::Malformed { .. }));
        let later = text.replace(r#"\"filemill_enrolment\":1"#, r#"\"filemill_enrolment\":3"#);
        assert_eq!(refused(&later), Error::Pool(filemill_seal::PoolError::EnrolmentVersion { found: 3 }));
    }

    #[test]
    fn the_lowest_format_is_pinned() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path()).unwrap();
        let config = config("http://127.0.0.1:1", "fm_secret-token");
        let enrolment = config.enrolment.clone().with_lowest_format(filemill_seal::Format::Two);
        Config { enrolment: enrolment.clone(), ..config }.save(&home).unwrap();
        assert_eq!(Config::load(&home).unwrap().enrolment, enrolment);
    }

    #[test]
    fn what_was_pinned_is_known_without_the_token_and_not_overwritten_if_it_is_of_a_later_version() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path()).unwrap();
        assert_eq!(Config::pinned(&home).unwrap(), None);
        let config = config("http://127.0.0.1:1", "fm_secret-token");
        let enrolment = config.enrolment.clone().with_lowest_format(filemill_seal::Format::Two);
        Config { enrolment: enrolment.clone(), ..config }.save(&home).unwrap();
        for token in ["", "no token"] {
            fs::write(home.token(), token).unwrap();
            assert_eq!(Config::pinned(&home).unwrap().as_ref(), Some(&enrolment));
        }
        fs::remove_file(home.token()).unwrap();
        assert_eq!(Config::pinned(&home).unwrap().as_ref(), Some(&enrolment));
        let text = fs::read_to_string(home.config()).unwrap();
        // As far as it can be told from a file that is good for nothing else.
        fs::write(home.config(), text.replace("\"server\"", "\"servers\"")).unwrap();
        assert_eq!(Config::pinned(&home).unwrap(), Some(enrolment));
        fs::write(home.config(), text.replace(r#"\"filemill_enrolment\":2"#, r#"\"filemill_enrolment\":3"#)).unwrap();
        let later = Config::pinned(&home).unwrap_err();
        assert_eq!(later, Error::Pool(PoolError::EnrolmentVersion { found: 3 }));
        fs::write(home.config(), text.replace("\"version\": 1", "\"version\": 2")).unwrap();
        assert!(matches!(Config::pinned(&home), Err(Error::HomeVersion { found: 2, .. })));
        fs::write(home.config(), "{").unwrap();
        assert_eq!(Config::pinned(&home).unwrap(), None);
    }

    #[test]
    fn a_config_survives_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::at(folder.path()).unwrap();
        assert!(matches!(Config::load(&home), Err(Error::NotLoggedIn { .. })));
        let config = config("http://127.0.0.1:1", "fm_secret-token");
        config.save(&home).unwrap();
        let loaded = Config::load(&home).unwrap();
        assert_eq!(format!("{loaded:?}"), format!("{config:?}"));
        assert_eq!(*loaded.token, "fm_secret-token");
        assert!(!format!("{loaded:?}").contains("fm_secret-token"));
        for damaged in [home.token(), home.config()] {
            for content in [&b""[..], b"{", &[0xff; 9], &vec![b'a'; 2 << 20]] {
                fs::write(&damaged, content).unwrap();
                assert!(matches!(Config::load(&home), Err(Error::Malformed { path, .. }) if path == damaged));
                note_journal(&home, 7).unwrap();
                config.save(&home).unwrap();
                assert_eq!(*Config::load(&home).unwrap().token, "fm_secret-token");
            }
        }
    }
}
