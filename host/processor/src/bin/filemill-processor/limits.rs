//! `--limits FILE`: what engines may use on this processor.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use filemill_runtime::{CompilerProcess, Limits, ReleaseLimits, TimeLimit};
use filemill_seal::Digest;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// How such a file looks. What it leaves out stays as it is by default.
pub(crate) const EXAMPLE: &str = r#"{
  "maxima": {"memory_bytes": 1073741824},
  "default": {"log_lines": 100, "cpu_ms": 5000, "cpu_ms_per_mib": 200},
  "releases": {"local/size": {"cpu_ms": 1000}, "DIGEST": {"memory_bytes": 1073741824}},
  "compile": {"wall_ms": 120000},
  "component_bytes": 16777216
}"#;

/// What to do where a file is not a file of limits.
pub(crate) const HINT: &str =
    "it is a JSON object, such as {\"default\": {\"cpu_ms\": 5000}}; `filemill-processor run --help` shows one";

/// The file is not one of limits.
#[derive(Debug, thiserror::Error)]
#[error("`{}` is not a file of limits", file.display())]
pub(crate) struct NoLimits {
    file: PathBuf,
}

/// The file, as JSON: see [`EXAMPLE`].
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct LimitsFile {
    /// What no run may exceed.
    maxima: Changes,
    /// For each release without limits of its own.
    default: Changes,
    /// By digest, or as `local/NAME`.
    releases: ByRelease,
    /// For the compiler.
    compile: CompileChanges,
    /// The largest component.
    component_bytes: Option<usize>,
}

/// Limits of single releases, by digest in lower case, or as `local/NAME`.
#[derive(Debug, Default)]
struct ByRelease(BTreeMap<String, Changes>);

/// Limits of runs, in bytes, milliseconds and numbers. Times grow with the input, by so much for each MiB of it.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Changes {
    memory_bytes: Option<usize>,
    cpu_ms: Option<u64>,
    cpu_ms_per_mib: Option<u64>,
    wall_ms: Option<u64>,
    wall_ms_per_mib: Option<u64>,
    output_bytes: Option<usize>,
    findings: Option<usize>,
    artifacts: Option<usize>,
    artifact_bytes: Option<usize>,
    log_lines: Option<usize>,
    log_bytes: Option<usize>,
    host_calls: Option<u64>,
    read_bytes: Option<usize>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct CompileChanges {
    wall_ms: Option<u64>,
    cpu_ms: Option<u64>,
    memory_bytes: Option<u64>,
}

impl LimitsFile {
    /// Reads it, and logs what of it does not count because the maxima are lower.
    ///
    /// # Errors
    ///
    /// When it cannot be read, or names what there is not: a limit, or a release.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read(path).with_context(|| format!("cannot read `{}`", path.display()))?;
        let file: Self = serde_json::from_slice(&text).with_context(|| NoLimits { file: path.to_owned() })?;
        for cut in file.cut() {
            tracing::warn!("`{}`: {cut} (hint: raise it under `maxima`, too)", path.display());
        }
        Ok(file)
    }

    /// What was asked for and does not count, because the maxima are lower.
    fn cut(&self) -> Vec<String> {
        let maxima = self.maxima();
        let releases = self.releases.0.iter().map(|(name, changes)| (format!("releases.{name}"), changes));
        std::iter::once(("default".to_owned(), &self.default))
            .chain(releases)
            .flat_map(|(whose, changes)| {
                let cut = changes.above(&maxima).into_iter();
                cut.map(move |(limit, asked, most)| format!("`{whose}.{limit}` of {asked} counts as {most}"))
            })
            .collect()
    }

    /// What no run may exceed.
    pub(crate) fn maxima(&self) -> Limits {
        self.maxima.to(&Limits::default())
    }

    /// What each release may use. Whatever it says, the maxima hold.
    pub(crate) fn releases(&self) -> ReleaseLimits {
        // A release that may use more than others is one that the maxima were raised for.
        let default = self.default.to(&Limits::default());
        let own = |(name, changes): (&String, &Changes)| (name.clone(), changes.to(&default));
        ReleaseLimits { by_release: self.releases.0.iter().map(own).collect(), default }
    }

    /// The largest component, in bytes.
    pub(crate) fn component_bytes(&self) -> Option<usize> {
        self.component_bytes
    }

    /// Limits the compiler.
    pub(crate) fn limit(&self, compiler: &mut CompilerProcess) {
        let CompileChanges { wall_ms, cpu_ms, memory_bytes } = self.compile;
        compiler.wall_time = wall_ms.map_or(compiler.wall_time, Duration::from_millis);
        compiler.cpu_time = cpu_ms.map_or(compiler.cpu_time, Duration::from_millis);
        compiler.memory_bytes = memory_bytes.unwrap_or(compiler.memory_bytes);
    }
}

impl<'de> Deserialize<'de> for ByRelease {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Names;

        impl<'de> Visitor<'de> for Names {
            type Value = ByRelease;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("limits by release")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ByRelease, A::Error> {
                let mut releases = BTreeMap::new();
                while let Some(name) = map.next_key::<String>()? {
                    let release = release(&name).map_err(A::Error::custom)?;
                    if releases.insert(release, map.next_value()?).is_some() {
                        return Err(A::Error::custom(format!("release `{name}` is named twice")));
                    }
                }
                Ok(ByRelease(releases))
            }
        }

        deserializer.deserialize_map(Names)
    }
}

/// A release's name as limits are looked up by it.
fn release(name: &str) -> Result<String, String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let local = name.strip_prefix("local/");
    if local.is_some_and(|name| (1..=64).contains(&name.len()) && !name.starts_with('.') && name.bytes().all(plain)) {
        return Ok(name.to_owned());
    }
    match name.to_ascii_lowercase().parse::<Digest>() {
        Ok(digest) => Ok(digest.to_string()),
        // Published releases have names, too, which the server tells no processor.
        Err(_) => Err(format!("`{name}` is no release: a processor knows them by digest, or as `local/NAME`")),
    }
}

impl Changes {
    /// What is above `most`: the limit's name, what was asked for, and what it counts as.
    fn above(&self, most: &Limits) -> Vec<(&'static str, u128, u128)> {
        let number = |asked: Option<usize>| asked.map(|asked| asked as u128);
        let wide = |asked: Option<u64>| asked.map(u128::from);
        let (cpu, wall) = (most.cpu_time, most.wall_time);
        [
            ("memory_bytes", number(self.memory_bytes), most.memory_bytes as u128),
            ("cpu_ms", wide(self.cpu_ms), cpu.base.as_millis()),
            ("cpu_ms_per_mib", wide(self.cpu_ms_per_mib), cpu.per_mib.as_millis()),
            ("wall_ms", wide(self.wall_ms), wall.base.as_millis()),
            ("wall_ms_per_mib", wide(self.wall_ms_per_mib), wall.per_mib.as_millis()),
            ("output_bytes", number(self.output_bytes), most.output_bytes as u128),
            ("findings", number(self.findings), most.findings as u128),
            ("artifacts", number(self.artifacts), most.artifacts as u128),
            ("artifact_bytes", number(self.artifact_bytes), most.artifact_bytes as u128),
            ("log_lines", number(self.log_lines), most.log_lines as u128),
            ("log_bytes", number(self.log_bytes), most.log_bytes as u128),
            ("host_calls", wide(self.host_calls), most.host_calls.into()),
            ("read_bytes", number(self.read_bytes), most.read_bytes as u128),
        ]
        .into_iter()
        .filter_map(|(limit, asked, most)| asked.filter(|asked| *asked > most).map(|asked| (limit, asked, most)))
        .collect()
    }

    fn to(&self, limits: &Limits) -> Limits {
        let time = |was: TimeLimit, base: Option<u64>, per_mib: Option<u64>| TimeLimit {
            base: base.map_or(was.base, Duration::from_millis),
            per_mib: per_mib.map_or(was.per_mib, Duration::from_millis),
        };
        Limits {
            memory_bytes: self.memory_bytes.unwrap_or(limits.memory_bytes),
            cpu_time: time(limits.cpu_time, self.cpu_ms, self.cpu_ms_per_mib),
            wall_time: time(limits.wall_time, self.wall_ms, self.wall_ms_per_mib),
            output_bytes: self.output_bytes.unwrap_or(limits.output_bytes),
            findings: self.findings.unwrap_or(limits.findings),
            artifacts: self.artifacts.unwrap_or(limits.artifacts),
            artifact_bytes: self.artifact_bytes.unwrap_or(limits.artifact_bytes),
            log_lines: self.log_lines.unwrap_or(limits.log_lines),
            log_bytes: self.log_bytes.unwrap_or(limits.log_bytes),
            host_calls: self.host_calls.unwrap_or(limits.host_calls),
            read_bytes: self.read_bytes.unwrap_or(limits.read_bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_file_leaves_out_stays_as_it_is() {
        let file: LimitsFile = serde_json::from_str(
            r#"{"maxima": {"memory_bytes": 1024}, "default": {"cpu_ms": 5}, "releases": {"local/a": {"log_lines": 3}}}"#,
        )
        .expect("it is one");
        assert_eq!(file.maxima(), Limits { memory_bytes: 1024, ..Limits::default() });
        let limits = file.releases();
        let own = limits.of("", Some("a"));
        assert_eq!((own.log_lines, own.cpu_time.base), (3, Duration::from_millis(5)));
        assert_eq!(own.cpu_time.per_mib, Limits::default().cpu_time.per_mib);
    }

    #[test]
    fn the_example_is_one_and_what_is_none_says_how_it_looks() {
        let example = EXAMPLE.replace("DIGEST", &Digest::of(b"engine").to_string());
        let file: LimitsFile = serde_json::from_str(&example).expect("it is one");
        assert_eq!(file.releases().of("", Some("size")).cpu_time.base, Duration::from_secs(1));
        let other = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(other.path(), "rule own {}").expect("written");
        let error = LimitsFile::read(other.path()).expect_err("it is no limits file");
        assert!(error.downcast_ref::<NoLimits>().is_some(), "{error:#}");
    }

    #[track_caller]
    fn refused(text: &str) -> String {
        serde_json::from_str::<LimitsFile>(text).expect_err("it is refused").to_string()
    }

    #[test]
    fn a_misspelt_limit_is_refused_by_its_line_rather_than_ignored() {
        let why = refused("{\n\"default\": {\n\"memory\": 1}}");
        assert!(why.starts_with("unknown field `memory`, expected ") && why.contains("at line 3"), "{why}");
        assert!(refused(r#"{"defaults": {}}"#).starts_with("unknown field `defaults`"));
        assert!(refused(r#"{"releases": {"local/a": {"logs": 1}}}"#).starts_with("unknown field `logs`"));
    }

    #[test]
    fn a_release_that_no_processor_could_know_is_refused_by_its_line() {
        for name in ["size", "size@1.0.0", "local/", "local/a b", "local/../a", "locl/a", "6f0c", ""] {
            let why = refused(&format!("{{\n\"releases\": {{\n\"{name}\": {{}}}}}}"));
            assert!(why.starts_with(&format!("`{name}` is no release")) && why.contains("at line 3"), "{why}");
        }
        let why = refused(r#"{"releases": {"local/a": {}, "local/a": {"log_lines": 3}}}"#);
        assert!(why.starts_with("release `local/a` is named twice"), "{why}");
    }

    #[test]
    fn a_release_may_be_named_by_its_digest_in_either_case() {
        let digest = Digest::of(b"engine").to_string();
        for name in [digest.clone(), digest.to_uppercase()] {
            let text = format!(r#"{{"releases": {{"{name}": {{"log_lines": 3}}}}}}"#);
            let file: LimitsFile = serde_json::from_str(&text).expect("it is one");
            assert_eq!(file.releases().of(&digest, None).log_lines, 3);
        }
    }

    #[test]
    fn what_the_maxima_cut_is_told() {
        let file: LimitsFile = serde_json::from_str(
            r#"{"maxima": {"memory_bytes": 1024, "cpu_ms": 10000000}, "default": {"memory_bytes": 1024, "cpu_ms": 20000},
                "releases": {"local/a": {"memory_bytes": 1025, "wall_ms": 100000000}}}"#,
        )
        .expect("it is one");
        assert_eq!(
            file.cut(),
            [
                "`releases.local/a.memory_bytes` of 1025 counts as 1024",
                "`releases.local/a.wall_ms` of 100000000 counts as 60000",
            ]
        );
    }
}
