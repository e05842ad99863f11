//! Which engine runs over which file.

use std::cmp::Reverse;
use std::ffi::OsStr;
use std::path::Path;
use std::sync::Arc;

use filemill_api::{LOCAL_PREFIX, Release};
use filemill_seal::Digest;

use crate::error::Error;

/// The engine that is meant when none is named and there are several.
const USUAL_ENGINE: &str = "size";
/// What stands for an engine's name where each file is to go to the one that fits it.
const AUTO: &str = "auto";
/// Media types of extensions that `mime_guess` does not know.
const MORE_KINDS: [(&str, &str); 2] = [("jsonl", "application/jsonl"), ("ndjson", "application/x-ndjson")];

/// What the user wants to be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// The only engine, or the usual one.
    Usual,
    /// This one.
    Named(String),
    /// The one that fits each file.
    Auto,
}

/// A release that files are sent for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EngineRelease {
    pub(crate) engine: String,
    pub(crate) version: String,
    pub(crate) release: Digest,
}

/// The releases that the organisation uses now, and which of them runs over which file.
#[derive(Debug)]
pub(crate) struct Engines {
    current: Vec<Current>,
    choice: Choice,
}

#[derive(Debug)]
struct Current {
    release: Arc<EngineRelease>,
    /// Media types that it says it understands, none for any; unknown while no processor has described it.
    media_types: Option<Vec<String>>,
}

#[derive(Clone, Copy, Debug)]
enum Choice {
    /// This position runs over every file.
    One(usize),
    Fitting,
}

/// How well an engine fits a file, the least first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fit {
    /// It takes any file.
    Any,
    /// It takes all of `image/*`.
    Group,
    /// It names the media type.
    Exact,
}

impl Wanted {
    /// What `--engine` says.
    pub(crate) fn parse(engine: Option<&str>) -> Self {
        match engine {
            None => Self::Usual,
            Some(AUTO) => Self::Auto,
            Some(name) => Self::Named(name.to_owned()),
        }
    }
}

impl Engines {
    /// Takes the releases that the server lists.
    ///
    /// # Errors
    ///
    /// [`Error::NoRelease`] if there is none, [`Error::NoEngine`] if the one that is named is not there, [`Error::WhichEngine`]
    /// if it has to be named, [`Error::Protocol`] for one without a digest.
    pub(crate) fn new(releases: Vec<Release>, wanted: &Wanted, server: &str) -> Result<Self, Error> {
        let mut current = Vec::new();
        for release in releases.into_iter().filter(|release| release.current) {
            let digest = release.digest.parse().map_err(|_| Error::Protocol {
                server: server.to_owned(),
                detail: format!("release `{}` has no digest", release.version),
            })?;
            let engine = EngineRelease { engine: release.engine, version: release.version, release: digest };
            current.push(Current { release: Arc::new(engine), media_types: release.media_types });
        }
        if current.is_empty() {
            return Err(Error::NoRelease { server: server.to_owned() });
        }
        let choice = choose(&current, wanted)?;
        Ok(Self { current, choice })
    }

    /// The engine for a file of this name; `None` if none takes such a file.
    pub(crate) fn for_file(&self, path: &Path) -> Option<&Arc<EngineRelease>> {
        match self.choice {
            Choice::One(position) => self.current.get(position).map(|current| &current.release),
            Choice::Fitting => {
                let guesses: Vec<_> = mime_guess::from_path(path).iter().collect();
                let mut kinds: Vec<_> = guesses.iter().map(mime_guess::Mime::essence_str).collect();
                let extension = path.extension().and_then(OsStr::to_str).unwrap_or_default();
                kinds.extend(
                    MORE_KINDS.iter().filter(|(of, _)| extension.eq_ignore_ascii_case(of)).map(|(_, kind)| *kind),
                );
                let fitting = self.current.iter().filter_map(|current| Some((current.fit(&kinds)?, current)));
                // What was published goes before what a processor brought, however well that says it fits: whoever can put a
                // file into a folder of engines must not be able to draw files away from the engines that the organisation
                // chose. Of engines that take anything, the usual one.
                let best = fitting.max_by_key(|(fit, current)| {
                    let name = &current.release.engine;
                    (
                        !name.starts_with(LOCAL_PREFIX),
                        *fit,
                        *fit == Fit::Any && name == USUAL_ENGINE,
                        Reverse(name.clone()),
                    )
                });
                best.map(|(_, current)| &current.release)
            }
        }
    }

    /// The release of that engine.
    pub(crate) fn named(&self, engine: &str) -> Option<&Arc<EngineRelease>> {
        self.current.iter().map(|current| &current.release).find(|release| release.engine == engine)
    }

    /// Engines that no processor has described, where that matters for which file they get.
    pub(crate) fn undescribed(&self) -> Vec<&str> {
        match self.choice {
            Choice::One(_) => Vec::new(),
            Choice::Fitting => self
                .current
                .iter()
                .filter(|current| current.media_types.is_none() && current.release.engine != USUAL_ENGINE)
                .map(|current| current.release.engine.as_str())
                .collect(),
        }
    }
}

impl Current {
    /// How well it fits a file whose name stands for one of these media types; `None`: not at all.
    fn fit(&self, kinds: &[&str]) -> Option<Fit> {
        let Some(media_types) = &self.media_types else {
            // Of the others nobody knows what they take.
            return (self.release.engine == USUAL_ENGINE).then_some(Fit::Any);
        };
        if media_types.is_empty() {
            return Some(Fit::Any);
        }
        media_types.iter().filter_map(|media_type| fit(media_type, kinds)).max()
    }
}

fn fit(media_type: &str, kinds: &[&str]) -> Option<Fit> {
    let media_type = media_type.trim().to_ascii_lowercase();
    if media_type == "*/*" {
        return Some(Fit::Any);
    }
    if let Some(group) = media_type.strip_suffix("/*") {
        let within = |kind: &&str| kind.split_once('/').is_some_and(|(of, _)| of == group);
        return kinds.iter().any(within).then_some(Fit::Group);
    }
    kinds.contains(&media_type.as_str()).then_some(Fit::Exact)
}

/// The engine that is named, the only published one, or the usual one; or whichever fits.
fn choose(current: &[Current], wanted: &Wanted) -> Result<Choice, Error> {
    let name_of = |current: &Current| current.release.engine.clone();
    let known = || {
        let mut names: Vec<String> = current.iter().map(|current| format!("`{}`", name_of(current))).collect();
        names.sort();
        names.dedup();
        names.join(", ")
    };
    let of_engine = |name: &str| current.iter().position(|current| current.release.engine == name).map(Choice::One);
    match wanted {
        Wanted::Auto => Ok(Choice::Fitting),
        Wanted::Named(name) => of_engine(name).ok_or_else(|| Error::NoEngine { engine: name.clone(), known: known() }),
        Wanted::Usual => {
            let mut published: Vec<_> =
                current.iter().map(name_of).filter(|name| !name.starts_with(LOCAL_PREFIX)).collect();
            published.dedup();
            let only = match published.as_slice() {
                [] if current.len() == 1 => Some(Choice::One(0)),
                [only] => of_engine(only),
                _ => None,
            };
            only.or_else(|| of_engine(USUAL_ENGINE)).ok_or_else(|| Error::WhichEngine { known: known() })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn release(engine: &str, version: &str, current: bool) -> Release {
        let release = serde_json::json!({
            "engine": engine, "version": version, "digest": Digest::of(version.as_bytes()).to_string(),
            "contract": 1, "length": 1, "current": current,
        });
        serde_json::from_value(release).unwrap()
    }

    fn taking(engine: &str, media_types: &[&str]) -> Release {
        let media_types = media_types.iter().map(|media_type| (*media_type).to_owned()).collect();
        Release { media_types: Some(media_types), ..release(engine, "1", true) }
    }

    fn chosen(releases: &[Release], engine: Option<&str>) -> Result<String, Error> {
        let engines = Engines::new(releases.to_vec(), &Wanted::parse(engine), "s")?;
        let release = engines.for_file(Path::new("x")).expect("one for every file");
        Ok(format!("{} {}", release.engine, release.version))
    }

    #[test]
    fn the_engine_is_the_one_named_the_only_one_or_the_usual_one() {
        let several = [release("hash", "2", true), release("hash", "1", false), release("size", "1", true)];
        assert_eq!(chosen(&several, Some("hash")).unwrap(), "hash 2");
        assert_eq!(chosen(&several, None).unwrap(), "size 1");
        assert_eq!(chosen(&several[..2], None).unwrap(), "hash 2");
        let unusual = [release("a", "1", true), release("b", "1", true)];
        assert!(matches!(chosen(&unusual, None), Err(Error::WhichEngine { known }) if known == "`a`, `b`"));
        assert!(matches!(chosen(&several, Some("x")), Err(Error::NoEngine { .. })));
        assert!(matches!(chosen(&[release("a", "1", false)], None), Err(Error::NoRelease { .. })));
    }

    #[test]
    fn an_engine_that_a_processor_brings_is_run_when_it_is_named() {
        let both = [release("local/mine.v2", "1", true), release("hash", "1", true)];
        assert_eq!(chosen(&both, None).unwrap(), "hash 1");
        assert_eq!(chosen(&both, Some("local/mine.v2")).unwrap(), "local/mine.v2 1");
        assert_eq!(chosen(&both[..1], None).unwrap(), "local/mine.v2 1", "nothing else can be meant");
    }

    #[test]
    fn each_file_goes_to_the_engine_that_fits_it_best() {
        let releases = vec![
            taking("local/photo", &["image/png", "image/x-icon"]),
            taking("digest", &[]),
            taking("image", &["image/png", "image/jpeg"]),
            taking("pictures", &["image/*"]),
            taking("size", &["*/*"]),
            taking("table", &["TEXT/CSV"]),
            taking("text", &["text/*", "application/json"]),
            release("unknown", "1", true),
        ];
        let engines = Engines::new(releases.clone(), &Wanted::Auto, "s").unwrap();
        assert_eq!(engines.undescribed(), ["unknown"]);
        for (file, engine) in [
            ("a.png", "image"),
            ("a.PNG", "image"),
            ("a.gif", "pictures"),
            ("a.ico", "pictures"),
            ("a.csv", "table"),
            ("a.txt", "text"),
            ("dir.csv/a.json", "text"),
            ("a.mp4", "size"),
            ("Makefile", "size"),
            (".png", "size"),
        ] {
            assert_eq!(engines.for_file(Path::new(file)).unwrap().engine, engine, "{file}");
        }
        let without = |name: &str| releases.iter().filter(|r| r.engine != name).cloned().collect::<Vec<_>>();
        let engines = Engines::new(without("size"), &Wanted::Auto, "s").unwrap();
        assert_eq!(engines.for_file(Path::new("x")).unwrap().engine, "digest");
        let picky = Engines::new(vec![taking("table", &["text/csv"])], &Wanted::Auto, "s").unwrap();
        assert!(picky.for_file(Path::new("x.png")).is_none());
    }

    #[test]
    fn what_a_processor_brings_draws_no_file_away_from_a_published_engine() {
        let brought = taking("local/photo", &["image/png", "text/csv", "application/pdf"]);
        let published = [taking("pictures", &["image/*"]), taking("table", &["text/csv"])];
        let chosen = |releases: Vec<Release>, file: &str| {
            let engines = Engines::new(releases, &Wanted::Auto, "s").unwrap();
            engines.for_file(Path::new(file)).unwrap().engine.clone()
        };
        let some = [&published[..], std::slice::from_ref(&brought)].concat();
        assert_eq!(chosen(some.clone(), "a.png"), "pictures", "a broader one that was published");
        assert_eq!(chosen(some.clone(), "a.csv"), "table");
        assert_eq!(chosen(some.clone(), "a.pdf"), "local/photo", "no published one reads it");
        let all = [&some[..], &[taking("size", &[])]].concat();
        assert_eq!(chosen(all, "a.pdf"), "size", "a published one reads any file");
        assert_eq!(chosen(vec![brought, taking("local/any", &[])], "a.png"), "local/photo");
    }

    #[test]
    fn while_nothing_is_described_the_usual_engine_runs() {
        let releases = vec![release("image", "1", true), release("size", "1", true)];
        let engines = Engines::new(releases, &Wanted::Auto, "s").unwrap();
        assert_eq!(engines.for_file(Path::new("a.png")).unwrap().engine, "size");
        assert_eq!(engines.undescribed(), ["image"]);
    }
}
