//! Which engine runs over which file.

use std::cmp::Reverse;
use std::ffi::OsStr;
use std::path::Path;
use std::sync::Arc;

use filemill_api::{LOCAL_PREFIX, Releases};
use filemill_seal::{Digest, PARAMETERS_USUAL_BYTES};

use crate::error::Error;
use crate::source::Found;

/// The engine that is meant when none is named and there are several.
const USUAL_ENGINE: &str = "size";
/// What stands for an engine's name where each file is to go to the one that fits it.
const AUTO: &str = "auto";
/// Names of engines that are told in one sentence, at most.
const LISTED_MAX: usize = 16;
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
    /// The longest parameters that a processor of the pool is known to take, in bytes.
    pub(crate) parameters_bytes: usize,
    /// Formats of headers that processors of the pool read which are there now, as far as the server says.
    pub(crate) formats: Vec<u8>,
}

#[derive(Debug, PartialEq, Eq)]
struct Current {
    release: Arc<EngineRelease>,
    /// Media types that it says it understands, none for any; unknown while nobody has described it.
    media_types: Option<Vec<String>>,
    /// Ends of file names that it says it reads, in lower case.
    extensions: Vec<String>,
    /// Processors were asked to describe it and could not: there is nothing to wait for.
    undescribable: bool,
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
    /// It takes all of `image/*`, and the file begins like an image.
    ContentGroup,
    /// It names the media type that the file begins like.
    ContentExact,
    /// It takes all of `image/*`, and the name is one of an image.
    Group,
    /// It names the media type that the name stands for, or the end of the name.
    Exact,
}

/// An engine that a file may go to, with what speaks for it.
struct Candidate<'a> {
    fit: Fit,
    current: &'a Current,
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
    pub(crate) fn new(listed: Releases, wanted: &Wanted, server: &str) -> Result<Self, Error> {
        let parameters_bytes = listed.parameters_bytes.and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(0);
        let parameters_bytes = parameters_bytes.max(PARAMETERS_USUAL_BYTES);
        let formats = listed.formats;
        let (mut current, mut others) = (Vec::new(), Vec::new());
        for release in listed.releases {
            let digest = release.digest.parse().map_err(|_| Error::Protocol {
                server: server.to_owned(),
                detail: format!("release `{}` has no digest", release.version),
            })?;
            let (media_types, undescribable) = (release.media_types, release.undescribable);
            let extensions = release.extensions.iter().map(|extension| extension.to_lowercase()).collect();
            let engine = EngineRelease { engine: release.engine, version: release.version, release: digest };
            if release.current {
                current.push(Current { release: Arc::new(engine), media_types, extensions, undescribable });
            } else {
                others.push(Arc::new(engine));
            }
        }
        let choice = match current.is_empty() {
            true => Err(Error::NoRelease { server: server.to_owned() }),
            false => choose(&current, wanted),
        };
        Ok(Self { current, others, choice, parameters_bytes, formats })
    }

    /// # Errors
    ///
    /// [`Error::NoRelease`] if there is none in use, [`Error::NoEngine`] if the one that is named is not there,
    /// [`Error::WhichEngine`] if it has to be named.
    pub(crate) fn check(&self) -> Result<(), Error> {
        self.choice.as_ref().map(|_| ()).map_err(Error::clone)
    }

    /// Lets a release that is yet to be described take what the one took that `former` had of the same engine: else its files
    /// would wait for the seconds that this needs.
    pub(crate) fn take_meanwhile_what(&mut self, former: &Self) {
        let lacking = |current: &&mut Current| !current.undescribable && current.media_types.is_none();
        for current in self.current.iter_mut().filter(lacking) {
            let before = former.current.iter().find(|before| before.release.engine == current.release.engine);
            if let Some(before) = before {
                current.media_types.clone_from(&before.media_types);
                current.extensions.clone_from(&before.extensions);
            }
        }
    }

    /// Whether these are the same releases, with the same words about each.
    pub(crate) fn are_those(&self, other: &Self) -> bool {
        self.current == other.current && self.others == other.others && self.parameters_bytes == other.parameters_bytes
    }

    /// The engine for a file, by its name and, as far as it was looked into, by its first bytes.
    ///
    /// # Errors
    ///
    /// [`Error::NoEngineFits`] if none takes such a file, [`Error::Undescribed`] if one may that nobody has described yet, and
    /// what [`check`](Self::check) says.
    pub(crate) fn for_file(&self, file: &Found) -> Result<&Arc<EngineRelease>, Error> {
        let kinds = file.content.as_ref().map(|content| &*content.kinds).unwrap_or_default();
        self.choose_for(&file.path, kinds)
    }

    /// The engine that every file goes to; `None` if each goes to the one that fits it.
    ///
    /// # Errors
    ///
    /// What [`check`](Self::check) says.
    pub(crate) fn only(&self) -> Result<Option<&EngineRelease>, Error> {
        match self.choice.as_ref().map_err(Error::clone)? {
            Choice::One(position) => Ok(self.current.get(*position).map(|one| &*one.release)),
            Choice::Fitting => Ok(None),
        }
    }

    /// As [`for_file`](Self::for_file), for a file that nobody has looked into.
    pub(crate) fn for_name(&self, path: &Path) -> Result<&Arc<EngineRelease>, Error> {
        self.choose_for(path, &[])
    }

    /// Whether the name leaves open which engine the file goes to, so that its first bytes are to decide.
    pub(crate) fn needs_content(&self, file: &Found) -> bool {
        matches!(self.choice, Ok(Choice::Fitting))
            && self.undescribed().is_empty()
            && self.best(&file.path, &[]).is_none_or(|best| best.fit < Fit::Group || best.current.is_local())
    }

    fn choose_for(&self, path: &Path, kinds: &[&str]) -> Result<&Arc<EngineRelease>, Error> {
        let best = match self.choice.as_ref().map_err(Error::clone)? {
            Choice::One(position) => {
                return self.current.get(*position).map(|one| &one.release).ok_or(Error::NoEngineFits);
            }
            Choice::Fitting => self.best(path, kinds),
        };
        // One that nobody has described may fit better than whatever does not fit exactly.
        let is_certain = best.as_ref().is_some_and(|best| best.fit == Fit::Exact && !best.current.is_local());
        let undescribed = self.undescribed();
        if !is_certain && !undescribed.is_empty() {
            return Err(Error::Undescribed { engines: listed(&undescribed) });
        }
        best.map(|best| &best.current.release).ok_or(Error::NoEngineFits)
    }

    fn best(&self, path: &Path, content: &[&str]) -> Option<Candidate<'_>> {
        let guesses: Vec<_> = mime_guess::from_path(path).iter().collect();
        let mut kinds: Vec<_> = guesses.iter().map(mime_guess::Mime::essence_str).collect();
        let extension = path.extension().and_then(OsStr::to_str).unwrap_or_default();
        kinds.extend(MORE_KINDS.iter().filter(|(of, _)| extension.eq_ignore_ascii_case(of)).map(|(_, kind)| *kind));
        let name = path.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
        let fitting = self
            .current
            .iter()
            .filter_map(|current| Some(Candidate { fit: current.fit(&name, &kinds, content)?, current }));
        // What was published goes before what a processor brought, however well that says it fits: whoever can put a file into a
        // folder of engines must not be able to draw files away from the engines that the organisation chose. Of engines that take
        // anything, the usual one.
        fitting.max_by_key(|Candidate { fit, current }| {
            let name = &current.release.engine;
            (!current.is_local(), *fit, *fit == Fit::Any && name == USUAL_ENGINE, Reverse(name.clone()))
        })
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

    /// Engines that nobody has described yet, where that matters for which file they get.
    pub(crate) fn undescribed(&self) -> Vec<&str> {
        self.undescribed_with(|current| !current.undescribable)
    }

    /// Engines that processors were asked to describe, and could not.
    pub(crate) fn undescribable(&self) -> Vec<&str> {
        self.undescribed_with(|current| current.undescribable)
    }

    fn undescribed_with(&self, holds: impl Fn(&Current) -> bool) -> Vec<&str> {
        if !matches!(self.choice, Ok(Choice::Fitting)) {
            return Vec::new();
        }
        let undescribed = |current: &&Current| {
            let engine = &current.release.engine;
            current.media_types.is_none() && engine != USUAL_ENGINE && !current.is_local() && holds(current)
        };
        self.current.iter().filter(undescribed).map(|current| current.release.engine.as_str()).collect()
    }
}

impl Current {
    fn is_local(&self) -> bool {
        self.release.engine.starts_with(LOCAL_PREFIX)
    }

    /// How well it fits a file of this name, in lower case, which stands for one of these media types, and which begins like one of
    /// those; `None`: not at all.
    fn fit(&self, name: &str, kinds: &[&str], content: &[&str]) -> Option<Fit> {
        let Some(media_types) = &self.media_types else {
            // Of the others nobody knows what they take.
            return (self.release.engine == USUAL_ENGINE).then_some(Fit::Any);
        };
        let ends = |extension: &String| {
            name.strip_suffix(extension.as_str())
                .and_then(|before| before.strip_suffix('.'))
                .is_some_and(|stem| !stem.is_empty())
        };
        if self.extensions.iter().any(ends) {
            return Some(Fit::Exact);
        }
        if media_types.is_empty() {
            return Some(Fit::Any);
        }
        let by_name = media_types.iter().filter_map(|media_type| fit(media_type, kinds)).max();
        let by_content = media_types.iter().filter_map(|media_type| fit(media_type, content)).max();
        let by_content = by_content.map(|fit| match fit {
            Fit::Exact => Fit::ContentExact,
            Fit::Group => Fit::ContentGroup,
            other => other,
        });
        by_name.max(by_content)
    }
}

/// Names as people read a list of them; some, if there are very many.
pub(crate) fn listed(names: &[&str]) -> String {
    let mut list = names.iter().take(LISTED_MAX).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    if names.len() > LISTED_MAX {
        list.push_str(", …");
    }
    list
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
    use filemill_api::Release;

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

    fn engines(releases: Vec<Release>, wanted: &Wanted) -> Result<Engines, Error> {
        Engines::new(Releases { releases, parameters_bytes: None, formats: Vec::new() }, wanted, "s")
    }

    fn by_name<'a>(engines: &'a Engines, name: &str) -> Result<&'a str, Error> {
        engines.choose_for(Path::new(name), &[]).map(|release| release.engine.as_str())
    }

    fn chosen(releases: &[Release], engine: Option<&str>) -> Result<String, Error> {
        let engines = engines(releases.to_vec(), &Wanted::parse(engine))?;
        engines.check()?;
        let release = engines.choose_for(Path::new("x"), &[])?;
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
            Release { undescribable: true, ..release("unknown", "1", true) },
        ];
        let auto = |releases| engines(releases, &Wanted::Auto).unwrap();
        let engines = auto(releases.clone());
        assert_eq!(engines.undescribable(), ["unknown"]);
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
            assert_eq!(by_name(&engines, file).unwrap(), engine, "{file}");
        }
        let without = |name: &str| releases.iter().filter(|r| r.engine != name).cloned().collect::<Vec<_>>();
        assert_eq!(by_name(&auto(without("size")), "x").unwrap(), "digest");
        let picky = auto(vec![taking("table", &["text/csv"])]);
        assert!(matches!(by_name(&picky, "x.png"), Err(Error::NoEngineFits)));
    }

    #[test]
    fn what_a_processor_brings_draws_no_file_away_from_a_published_engine() {
        let brought = taking("local/photo", &["image/png", "text/csv", "application/pdf"]);
        let published = [taking("pictures", &["image/*"]), taking("table", &["text/csv"])];
        let chosen = |releases: Vec<Release>, file: &str| {
            let engines = engines(releases, &Wanted::Auto).unwrap();
            by_name(&engines, file).unwrap().to_owned()
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
    fn while_an_engine_is_not_described_only_files_that_fit_another_exactly_go() {
        let releases = vec![
            release("image", "1", true),
            release("size", "1", true),
            taking("table", &["text/csv"]),
            taking("text", &["text/*"]),
            taking("local/photo", &["image/png"]),
        ];
        let engines = engines(releases, &Wanted::Auto).unwrap();
        assert_eq!(by_name(&engines, "a.csv").unwrap(), "table");
        for open in ["a.png", "a.txt", "a", "a.mp4"] {
            let waits = by_name(&engines, open).unwrap_err();
            assert!(matches!(waits, Error::Undescribed { engines } if engines == "`image`"), "{open}");
        }
    }

    #[test]
    fn an_engine_that_processors_cannot_describe_is_not_waited_for() {
        let releases = vec![Release { undescribable: true, ..release("image", "1", true) }, release("size", "1", true)];
        let engines = engines(releases, &Wanted::Auto).unwrap();
        assert_eq!(by_name(&engines, "a.png").unwrap(), "size");
        assert_eq!((engines.undescribed(), engines.undescribable()), (vec![], vec!["image"]));
    }

    #[test]
    fn an_engine_gets_what_ends_in_an_extension_that_it_names() {
        let naming = |engine: &str, media_types: &[&str], extensions: &[&str]| Release {
            extensions: extensions.iter().map(|extension| (*extension).to_owned()).collect(),
            ..taking(engine, media_types)
        };
        let releases = vec![
            naming("archive", &["application/zip"], &["zip", "TGZ", "docx", "tar.zst"]),
            naming("odd", &[], &["odd"]),
            taking("size", &[]),
            naming("local/own", &["text/plain"], &["docx", "mine"]),
        ];
        let engines = engines(releases, &Wanted::Auto).unwrap();
        for (name, engine) in [
            ("a.tgz", "archive"),
            ("A.DOCX", "archive"),
            ("a.tar.zst", "archive"),
            ("a.zst", "size"),
            (".docx", "size"),
            ("docx", "size"),
            ("a.odd", "odd"),
            ("a.mine", "size"),
        ] {
            assert_eq!(by_name(&engines, name).unwrap(), engine, "{name}");
        }
    }

    #[test]
    fn first_bytes_decide_where_the_name_leaves_it_open_and_nowhere_else() {
        let releases = vec![
            taking("archive", &["application/zip"]),
            taking("image", &["image/png"]),
            taking("text", &["text/*"]),
            taking("size", &[]),
        ];
        let engines = engines(releases, &Wanted::Auto).unwrap();
        let chosen = |name: &str, kinds: &[&str]| engines.choose_for(Path::new(name), kinds).unwrap().engine.clone();
        for (name, kinds, engine) in [
            ("a", &["application/zip"][..], "archive"),
            ("a.docx", &["application/vnd.x", "application/zip"], "archive"),
            ("a.pem", &["text/plain"], "text"),
            ("a.mp4", &["video/mp4"], "size"),
            ("a", &[], "size"),
            ("a.txt", &["image/png"], "text"),
            ("a.png", &["text/plain"], "image"),
        ] {
            assert_eq!(chosen(name, kinds), engine, "{name}");
        }
    }

    #[test]
    fn a_new_version_that_is_yet_to_be_described_takes_what_the_last_one_took() {
        let with = |image: Release| engines(vec![image, taking("size", &[])], &Wanted::Auto).unwrap();
        let chosen = |engines: &Engines| engines.choose_for(Path::new("a.png"), &[]).unwrap().clone();
        let published = release("image", "2", true);
        let mut last = with(taking("image", &["image/*"]));
        // As often as it is asked.
        for _ in 0..2 {
            let mut now = with(published.clone());
            now.take_meanwhile_what(&last);
            assert_eq!((chosen(&now).engine.as_str(), chosen(&now).version.as_str()), ("image", "2"));
            last = now;
        }
        let mut described = with(Release { media_types: Some(vec!["image/gif".to_owned()]), ..published.clone() });
        described.take_meanwhile_what(&last);
        assert_eq!(chosen(&described).engine, "size", "its own word counts as soon as there is one");
        let mut given_up = with(Release { undescribable: true, ..published });
        given_up.take_meanwhile_what(&last);
        assert_eq!(chosen(&given_up).engine, "size", "nobody can");
    }

    #[test]
    fn a_release_that_was_chosen_is_found_when_it_is_not_in_use_any_more() {
        let releases = vec![release("size", "2", true), release("size", "1", false)];
        let engines = engines(releases, &Wanted::Named("gone".to_owned())).unwrap();
        assert_eq!(engines.offered(&Digest::of(b"1")).unwrap().version, "1");
        assert!(engines.offered(&Digest::of(b"3")).is_none());
        assert!(matches!(engines.check(), Err(Error::NoEngine { .. })));
    }
}
