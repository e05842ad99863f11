//! Who still uses which version of the API: requests by version and by the program that made them, for an operator's collector to ask for.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use axum::http::HeaderMap;
use axum::http::header::USER_AGENT;
use filemill_api::paths::{METRICS, is_v1};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

/// Programs that are told apart at once. A caller chooses what it says that it is: the one that was heard of longest ago makes room, and its
/// counts begin anew when it is heard again.
const MOST_AGENTS: usize = 64;
/// Longest name of a program, in bytes.
const MOST_AGENT_BYTES: usize = 48;
/// What all others are called.
const OTHER: &str = "other";

/// Whose request it was.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    /// Major of the API.
    api: &'static str,
    /// Program and version, as it says.
    agent: String,
}

/// When each was heard of last, as the number of the request.
#[derive(Default)]
struct Agents {
    requests: u64,
    heard: HashMap<String, u64>,
}

/// Requests so far, since the server started.
pub(super) struct Usage {
    registry: Registry,
    requests: Family<Labels, Counter>,
    agents: Mutex<Agents>,
}

impl Usage {
    pub(super) fn new() -> Self {
        let requests = Family::<Labels, Counter>::default();
        let mut registry = Registry::with_prefix("filemill_server");
        registry.register(
            "requests",
            "Requests of callers whose token holds, by the version of the API and by the program that they say they are",
            requests.clone(),
        );
        Self { registry, requests, agents: Mutex::default() }
    }

    /// Counts a request whose caller is known, but for those that ask for the counts.
    pub(super) fn count(&self, path: &str, headers: &HeaderMap) {
        if path == METRICS {
            return;
        }
        let api = if is_v1(path) { "1" } else { "2" };
        self.requests.get_or_create(&Labels { api, agent: self.agent(headers) }).inc();
    }

    fn agent(&self, headers: &HeaderMap) -> String {
        let said = headers.get(USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
        // Of what follows a blank, browsers write a novel.
        let said = said.split(' ').next().unwrap_or_default();
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'.' | b'-' | b'_' | b'+');
        if said.is_empty() || said.len() > MOST_AGENT_BYTES || !said.bytes().all(is_plain) {
            return OTHER.to_owned();
        }
        let mut agents = self.agents.lock().unwrap_or_else(PoisonError::into_inner);
        agents.requests += 1;
        let now = agents.requests;
        if let Some(heard) = agents.heard.get_mut(said) {
            *heard = now;
            return said.to_owned();
        }
        if agents.heard.len() >= MOST_AGENTS
            && let Some(longest) = agents.heard.iter().min_by_key(|(_, heard)| **heard).map(|(agent, _)| agent.clone())
        {
            agents.heard.remove(&longest);
            for api in ["1", "2"] {
                self.requests.remove(&Labels { api, agent: longest.clone() });
            }
        }
        agents.heard.insert(said.to_owned(), now);
        said.to_owned()
    }

    /// All of it, as OpenMetrics has it.
    pub(super) fn text(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use filemill_api::paths;

    use super::*;

    fn said(agent: &str) -> HeaderMap {
        HeaderMap::from_iter([(USER_AGENT, HeaderValue::from_str(agent).expect("a header"))])
    }

    #[test]
    fn requests_are_counted_by_version_and_program() {
        let usage = Usage::new();
        usage.count(paths::v1::WHOAMI, &said("filemill/0.1.0"));
        usage.count(paths::WHOAMI, &said("filemill/0.2.0"));
        usage.count(paths::WHOAMI, &said("filemill/0.2.0"));
        usage.count(paths::WHOAMI, &HeaderMap::new());
        let text = usage.text().expect("text");
        for line in [
            r#"filemill_server_requests_total{api="1",agent="filemill/0.1.0"} 1"#,
            r#"filemill_server_requests_total{api="2",agent="filemill/0.2.0"} 2"#,
            r#"filemill_server_requests_total{api="2",agent="other"} 1"#,
        ] {
            assert!(text.contains(line), "{text}");
        }
    }

    #[test]
    fn whatever_callers_say_that_they_are_there_are_few_of_them() {
        let usage = Usage::new();
        for number in 0..1000 {
            usage.count(paths::WHOAMI, &said(&format!("x/{number}")));
            usage.count(paths::WHOAMI, &said(&format!("y\"}} {number}")));
            usage.count(paths::WHOAMI, &said(&"z".repeat(number + 1)));
        }
        let lines = || usage.text().expect("text").lines().filter(|line| !line.starts_with('#')).count();
        assert_eq!(lines(), MOST_AGENTS + 1);
        // And who is heard of only then is told apart all the same.
        usage.count(paths::v1::WHOAMI, &said("filemill/0.1.0"));
        let text = usage.text().expect("text");
        assert!(text.contains(r#"{api="1",agent="filemill/0.1.0"} 1"#), "{text}");
        assert_eq!(lines(), MOST_AGENTS + 1);
    }

    #[test]
    fn who_asks_for_the_counts_is_not_counted() {
        let usage = Usage::new();
        usage.count(METRICS, &said("collector/1"));
        assert!(!usage.text().expect("text").contains("collector"));
    }
}
