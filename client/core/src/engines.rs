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
    /// Those that may be run, too, and that the organisation does not use now.
    others: Vec<Arc<EngineRelease>>,
    /// Or why there is none to be made.
    choice: Result<Choice, Error>,
}

#[derive(Debug, PartialEq, Eq)]
struct Current {
    release: Arc<EngineRelease>,
    /// Media types that it says it understands, none for any; unknown while no processor has described it.
    media_types: Option<Vec<String>>,
    /// A processor is about to describe it.
    describing: bool,
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
    /// Takes the releases that the server lists. That the wanted engine is not among them is for [`check`](Self::check) to say:
    /// files that were sent before may go on without it.
    ///
    /// # Errors
    ///
    /// [`Error::Protocol`] for one without a digest.
    pub(crate) fn new(releases: Vec<Release>, wanted: &Wanted, server: &str) -> Result<Self, Error> {
        let (mut current, mut others) = (Vec::new(), Vec::new());
        for release in releases {
            let digest = release.digest.parse().map_err(|_| Error::Protocol {
                server: server.to_owned(),
                detail: format!("release `{}` has no digest", release.version),
            })?;
            let (media_types, describing) = (release.media_types, release.describing);
            let engine = EngineRelease { engine: release.engine, version: release.version, release: digest };
            if release.current {
                current.push(Current { release: Arc::new(engine), media_types, describing });
            } else {
                others.push(Arc::new(engine));
            }
        }
        let choice = match current.is_empty() {
            true => Err(Error::NoRelease { server: server.to_owned() }),
            false => choose(&current, wanted),
        };
        Ok(Self { current, others, choice })
    }

    /// # Errors
    ///
    /// [`Error::NoRelease`] if there is none in use, [`Error::NoEngine`] if the one that is named is not there,
    /// [`Error::WhichEngine`] if it has to be named.
    pub(crate) fn check(&self) -> Result<(), Error> {
        self.choice.as_ref().map(|_| ()).map_err(Error::clone)
    }

    /// Lets a release that is about to be described take what the one took that `former` had of the same engine: else its files
    /// would go elsewhere for the seconds that this needs.
    pub(crate) fn take_meanwhile_what(&mut self, former: &Self) {
        let lacking = |current: &&mut Current| current.describing && current.media_types.is_none();
        for current in self.current.iter_mut().filter(lacking) {
            let before = former.current.iter().find(|before| before.release.engine == current.release.engine);
            current.media_types = before.and_then(|before| before.media_types.clone());
        }
    }

    /// Whether these are the same releases, with the same words about each.
    pub(crate) fn are_those(&self, other: &Self) -> bool {
        self.current == other.current && self.others == other.others
    }

    /// The engine for a file of this name.
    ///
    /// # Errors
    ///
    /// [`Error::NoEngineFits`] if none takes such a file, and what [`check`](Self::check) says.
    pub(crate) fn for_file(&self, path: &Path) -> Result<&Arc<EngineRelease>, Error> {
        let found = match self.choice.as_ref().map_err(Error::clone)? {
            Choice::One(position) => self.current.get(*position).map(|current| &current.release),
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
        };
        found.ok_or(Error::NoEngineFits)
    }

    /// The release with that digest, if it may be run, even if the organisation does not use it now.
    pub(crate) fn offered(&self, digest: &Digest) -> Option<&Arc<EngineRelease>> {
        let current = self.current.iter().map(|current| &current.release);
        current.chain(&self.others).find(|release| release.release == *digest)
    }

    /// The release of that engine that is in use.
    pub(crate) fn named(&self, engine: &str) -> Option<&Arc<EngineRelease>> {
        self.current.iter().map(|current| &current.release).find(|release| release.engine == engine)
    }

    /// Engines that no processor has described, where that matters for which file they get.
    pub(crate) fn undescribed(&self) -> Vec<&str> {
        self.undescribed_with(|_| true)
    }

    /// Those of them that a processor is about to describe.
    pub(crate) fn being_described(&self) -> Vec<&str> {
        self.undescribed_with(|current| current.describing)
    }

    fn undescribed_with(&self, holds: impl Fn(&Current) -> bool) -> Vec<&str> {
        if !matches!(self.choice, Ok(Choice::Fitting)) {
            return Vec::new();
        }
        let undescribed = |current: &&Current| {
            current.media_types.is_none() && current.release.engine != USUAL_ENGINE && holds(current)
        };
        self.current.iter().filter(undescribed).map(|current| current.release.engine.as_str()).collect()
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
        engines.check()?;
        let release = engines.for_file(Path::new("x"))?;
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
        assert!(matches!(picky.for_file(Path::new("x.png")), Err(Error::NoEngineFits)));
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
        assert!(engines.being_described().is_empty(), "nobody is about to");
    }

    #[test]
    fn a_new_version_that_is_about_to_be_described_takes_what_the_last_one_took() {
        let engines = |image: Release| Engines::new(vec![image, taking("size", &[])], &Wanted::Auto, "s").unwrap();
        let chosen = |engines: &Engines| engines.for_file(Path::new("a.png")).unwrap().clone();
        let published = Release { describing: true, ..release("image", "2", true) };
        let mut last = engines(taking("image", &["image/*"]));
        // As often as it is asked.
        for _ in 0..2 {
            let mut now = engines(published.clone());
            now.take_meanwhile_what(&last);
            assert_eq!((chosen(&now).engine.as_str(), chosen(&now).version.as_str()), ("image", "2"));
            last = now;
        }
        let mut described = engines(Release { media_types: Some(vec!["image/gif".to_owned()]), ..published.clone() });
        described.take_meanwhile_what(&last);
        assert_eq!(chosen(&described).engine, "size", "its own word counts as soon as there is one");
        let mut given_up = engines(Release { describing: false, ..published });
        given_up.take_meanwhile_what(&last);
        assert_eq!(chosen(&given_up).engine, "size", "nobody is about to");
    }

    #[test]
    fn a_release_that_was_chosen_is_found_when_it_is_not_in_use_any_more() {
        let releases = vec![release("size", "2", true), release("size", "1", false)];
        let engines = Engines::new(releases, &Wanted::Named("gone".to_owned()), "s").unwrap();
        assert_eq!(engines.offered(&Digest::of(b"1")).unwrap().version, "1");
        assert!(engines.offered(&Digest::of(b"3")).is_none());
        assert!(matches!(engines.check(), Err(Error::NoEngine { .. })));
    }
}
