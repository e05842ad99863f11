//! What a server counts: requests by version of the API and by program, as `GET /metrics` says it.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

/// How long a server may take to answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// The counter, as OpenMetrics writes its lines.
const REQUESTS: &str = "filemill_server_requests_total{";

/// Requests by `API, PROGRAM/VERSION`.
pub(super) type Usage = BTreeMap<String, u64>;

/// Asks a server; none: it is of a release that counts nothing.
///
/// # Errors
///
/// When it does not answer.
pub(super) fn ask(server: SocketAddr, operator_token: &Path) -> Result<Option<Usage>> {
    let token = fs::read_to_string(operator_token).context("no operator's token")?;
    let mut stream = TcpStream::connect_timeout(&server, ANSWER_LIMIT).context("the server does not listen")?;
    stream.set_read_timeout(Some(ANSWER_LIMIT))?;
    let request = format!(
        "GET /metrics HTTP/1.1\r\nhost: {server}\r\nauthorization: Bearer {}\r\nuser-agent: xtask\r\nconnection: close\r\n\r\n",
        token.trim()
    );
    stream.write_all(request.as_bytes()).context("the server takes no request")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).context("the server does not answer")?;
    Ok(answer.starts_with("HTTP/1.1 200 ").then(|| read(&answer)))
}

/// The lines of that counter: `…{api="1",agent="filemill/0.1.0"} 12`.
fn read(text: &str) -> Usage {
    let counted = text.lines().filter_map(|line| {
        let (labels, value) = line.strip_prefix(REQUESTS)?.split_once("} ")?;
        let label = |name: &str| {
            let (_, behind) = labels.split_once(&format!("{name}=\""))?;
            behind.split('"').next()
        };
        Some((format!("{}, {}", label("api")?, label("agent")?), value.trim().parse().ok()?))
    });
    counted.collect()
}

/// Adds another server's.
pub(super) fn add(sum: &mut Usage, other: Usage) {
    for (who, requests) in other {
        *sum.entry(who).or_default() += requests;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_read_by_its_labels() {
        let text = "HTTP/1.1 200 OK\r\n\r\n# TYPE filemill_server_requests counter\n\
                    filemill_server_requests_total{api=\"1\",agent=\"filemill/0.1.0\"} 12\n\
                    filemill_server_requests_total{agent=\"other\",api=\"2\"} 3\n# EOF\n";
        let mut read = read(text);
        assert_eq!(read, [("1, filemill/0.1.0".to_owned(), 12), ("2, other".to_owned(), 3)].into());
        add(&mut read, [("2, other".to_owned(), 4)].into());
        assert_eq!(read["2, other"], 7);
    }
}
