//! `--limits FILE`: what engines may use on this processor.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use filemill_host::{CompilerProcess, Limits, ReleaseLimits, TimeLimit};
use serde::Deserialize;

/// The file, as JSON. What it leaves out stays as it is by default.
///
/// ```json
/// {
///   "maxima": {"memory_bytes": 1073741824},
///   "default": {"log_lines": 100},
///   "releases": {"local/size": {"cpu_ms": 1000}, "6f0c…": {"memory_bytes": 1073741824}},
///   "compile": {"wall_ms": 120000},
///   "component_bytes": 16777216
/// }
/// ```
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct LimitsFile {
    /// What no run may exceed.
    maxima: Changes,
    /// For each release without limits of its own.
    default: Changes,
    /// By digest, or as `local/NAME`.
    releases: BTreeMap<String, Changes>,
    /// For the compiler.
    compile: CompileChanges,
    /// The largest component.
    component_bytes: Option<usize>,
}

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
    /// Reads it.
    ///
    /// # Errors
    ///
    /// When it cannot be read, or names what there is not.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read(path).with_context(|| format!("cannot read `{}`", path.display()))?;
        serde_json::from_slice(&text).with_context(|| format!("`{}` is not a file of limits", path.display()))
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
        ReleaseLimits { by_release: self.releases.iter().map(own).collect(), default }
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

impl Changes {
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
    fn a_misspelt_limit_is_refused_rather_than_ignored() {
        serde_json::from_str::<LimitsFile>(r#"{"default": {"memory": 1}}"#).expect_err("there is no such limit");
    }
}
