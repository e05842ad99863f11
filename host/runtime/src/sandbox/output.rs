//! What a guest hands out beside its report: findings and artifacts, bounded in number and in bytes.

use bytes::Bytes;

use super::stop::Stop;
use crate::backend::{Artifact, Finding, Limits, NotAnObject, check_line, check_object, is_media_type};

/// Keeps a run's findings and artifacts until it has ended.
pub(crate) struct Output {
    findings: Vec<Finding>,
    artifacts: Vec<Artifact>,
    findings_limit: usize,
    artifacts_limit: usize,
    finding_bytes: Budget,
    artifact_bytes: Budget,
    /// Artifacts that were begun and not ended.
    open_artifacts: usize,
}

/// Bytes that may still be handed out.
struct Budget {
    left: usize,
    limit: usize,
}

impl Budget {
    fn new(limit: usize) -> Self {
        Self { left: limit, limit }
    }

    fn take(&mut self, bytes: usize, what: &'static str) -> Result<(), Stop> {
        self.left = self.left.checked_sub(bytes).ok_or(Stop::Output { limit: self.limit, what })?;
        Ok(())
    }
}

impl Output {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            findings: Vec::new(),
            artifacts: Vec::new(),
            findings_limit: limits.findings,
            artifacts_limit: limits.artifacts,
            finding_bytes: Budget::new(limits.output_bytes),
            artifact_bytes: Budget::new(limits.artifact_bytes),
            open_artifacts: 0,
        }
    }

    /// Keeps a finding; an empty `json` stands for `{}`.
    pub(crate) fn find(&mut self, mut finding: Finding) -> Result<(), Stop> {
        if self.findings.len() >= self.findings_limit {
            return Err(Stop::Output { limit: self.findings_limit, what: "findings" });
        }
        let bytes = finding.kind.len() + finding.summary.len() + finding.json.len();
        self.finding_bytes.take(bytes, "bytes of findings")?;
        let broken = |why: String| Stop::Broken(format!("a finding of the engine breaks the contract: {why}"));
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte);
        if !(1..=64).contains(&finding.kind.len()) || !finding.kind.bytes().all(plain) {
            return Err(broken("its kind is not 1 to 64 characters of `a-z`, `0-9`, `.` and `-`".to_owned()));
        }
        finding.summary = check_line(&finding.summary).map_err(|why| broken(format!("its summary {why}")))?;
        if finding.json.is_empty() {
            finding.json.push_str("{}");
        }
        check_object(&finding.json)
            .map_err(|NotAnObject(why)| broken(format!("its data is not a JSON object: {why}")))?;
        self.findings.push(finding);
        Ok(())
    }

    /// Begins an artifact: checks its name and type, and counts it.
    pub(crate) fn begin_artifact(&mut self, name: &str, media_type: &str) -> Result<(), Stop> {
        if self.artifacts.len() >= self.artifacts_limit {
            return Err(Stop::Output { limit: self.artifacts_limit, what: "artifacts" });
        }
        let broken = |why: &str| Err(Stop::Broken(format!("an artifact of the engine breaks the contract: {why}")));
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if !(1..=100).contains(&name.len()) || !name.bytes().all(plain) || name.starts_with(['.', '-']) {
            return broken(
                "its name is not 1 to 100 characters of `A-Z`, `a-z`, `0-9`, `.`, `_` and `-`, beginning with a letter, a digit or `_`",
            );
        }
        if self.artifacts.iter().any(|artifact| artifact.name == name) {
            return broken("there is one of the same name");
        }
        if !is_media_type(media_type) {
            return broken("its media type is not valid");
        }
        self.artifact_bytes.take(name.len() + media_type.len(), ARTIFACT_BYTES)?;
        let (name, media_type) = (name.to_owned(), media_type.to_owned());
        self.artifacts.push(Artifact { name, media_type, data: Bytes::new() });
        self.open_artifacts += 1;
        Ok(())
    }

    /// Counts bytes of an artifact before they are kept.
    pub(crate) fn take_artifact_bytes(&mut self, bytes: usize) -> Result<(), Stop> {
        self.artifact_bytes.take(bytes, ARTIFACT_BYTES)
    }

    /// Ends the artifact of that name, which was begun, with its bytes, which were counted.
    pub(crate) fn end_artifact(&mut self, name: &str, data: Bytes) {
        if let Some(artifact) = self.artifacts.iter_mut().find(|artifact| artifact.name == name) {
            artifact.data = data;
            self.open_artifacts = self.open_artifacts.saturating_sub(1);
        }
    }

    /// Whether every artifact that was begun was ended.
    pub(crate) fn check_complete(&self) -> Result<(), Stop> {
        match self.open_artifacts {
            0 => Ok(()),
            open => Err(Stop::Broken(format!("the engine returned while {open} of its artifacts were unfinished"))),
        }
    }

    /// An artifact that is there as a whole.
    pub(crate) fn add_artifact(&mut self, name: &str, media_type: &str, data: Vec<u8>) -> Result<(), Stop> {
        self.begin_artifact(name, media_type)?;
        self.take_artifact_bytes(data.len())?;
        self.end_artifact(name, data.into());
        Ok(())
    }

    pub(super) fn into_parts(self) -> (Vec<Finding>, Vec<Artifact>) {
        (self.findings, self.artifacts)
    }
}

const ARTIFACT_BYTES: &str = "bytes of artifacts";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Severity;

    fn output() -> Output {
        Output::new(&Limits { output_bytes: 100, findings: 2, artifacts: 2, artifact_bytes: 60, ..Limits::default() })
    }

    fn finding(kind: &str, summary: &str, json: &str) -> Finding {
        let [kind, summary, json] = [kind, summary, json].map(str::to_owned);
        Finding { kind, severity: Severity::Low, summary, json }
    }

    #[test]
    fn names_that_would_leave_their_folder_or_hide_are_refused() {
        for name in ["", ".", "..", "a/b", "../a", "-rf", ".hidden", "a\nb", "ä", &"x".repeat(101)] {
            assert!(matches!(output().add_artifact(name, "a/b", Vec::new()), Err(Stop::Broken(_))), "{name:?}");
        }
        output().add_artifact("plot-1.svg", "image/svg+xml", vec![1]).expect("a good name");
    }

    #[test]
    fn artifacts_are_bounded_in_number_and_bytes_and_each_name_comes_once() {
        let mut output = output();
        output.add_artifact("a", "a/b", vec![0; 50]).expect("fits");
        assert!(matches!(output.add_artifact("a", "a/b", Vec::new()), Err(Stop::Broken(_))));
        assert_eq!(
            output.add_artifact("b", "a/b", vec![0; 3]),
            Err(Stop::Output { limit: 60, what: "bytes of artifacts" })
        );
        assert_eq!(output.begin_artifact("c", "a/b"), Err(Stop::Output { limit: 2, what: "artifacts" }));
    }

    #[test]
    fn findings_are_bounded_and_checked() {
        let mut output = output();
        for (kind, summary, json) in [("", "", ""), ("A", "", ""), ("a", "", "[]")] {
            assert!(matches!(output.find(finding(kind, summary, json)), Err(Stop::Broken(_))), "{kind} {summary}");
        }
        output.find(finding("zip-slip", "it leaves", "")).expect("good");
        output.find(finding("b", "", "{}")).expect("good");
        assert!(matches!(output.find(finding("c", "", "")), Err(Stop::Output { limit: 2, .. })));
        assert_eq!(output.into_parts().0[0].json, "{}");
    }
}
