//! What programs of release 0.1.0 sent and were answered, sent again to this server: `recorded/README.md` says how it was recorded. Nothing
//! here goes through the wire types of this tree, so that no change of theirs changes both sides unnoticed.

mod compare;
mod names;

use std::collections::BTreeMap;

use data_encoding::BASE64;
use filemill_server::accounts::{JoinGrant, Scope};
use filemill_server::{Admin, Config, Server};
use reqwest::{Method, Response};
use serde::Deserialize;
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::timeout;

use self::compare::Comparison;
use self::names::Names;
use super::{LIMIT, embedded, engine};

const RELEASE_0_1_0: &str = include_str!("recorded/0.1.0.jsonl");
/// After so many differences the rest is not looked at: one brings about others, and waits that nobody ends.
const ENOUGH: usize = 20;
/// What says of an answer that its version is on its way out.
const ON_ITS_WAY_OUT: [&str; 3] = ["deprecation", "sunset", "link"];

/// A request and its answer. What the server chose stands in them by a name, such as `{token-1}`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Exchange {
    /// The method, and the path with its query or the name of a presigned URL.
    request: String,
    headers: BTreeMap<String, String>,
    text: Option<String>,
    base64: Option<String>,
    answer: Answer,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Answer {
    status: u16,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// A body that is compared field by field.
    json: Option<Value>,
    /// A body that is compared byte for byte.
    text: Option<String>,
    base64: Option<String>,
    /// The first pages of a stream.
    #[serde(default)]
    pages: Vec<Value>,
}

fn exchanges() -> Vec<Exchange> {
    let exchange = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line}"));
    RELEASE_0_1_0.lines().map(exchange).collect()
}

#[tokio::test]
async fn programs_of_0_1_0_are_answered_as_their_server_did() {
    let mut names = Names::default();
    let mill = Recorded::start(&mut names).await;
    let mut differences = Vec::new();
    for (number, exchange) in exchanges().iter().enumerate() {
        let mut found = Comparison::new(&mut names);
        mill.replay(exchange, &mut found).await;
        let by = exchange.headers.get("user-agent").map_or("storage", String::as_str);
        let of = format!("line {}, `{}` ({by})", number + 1, exchange.request);
        differences.extend(found.into_differences().into_iter().map(|difference| format!("{of}: {difference}")));
        if differences.len() >= ENOUGH {
            break;
        }
    }
    mill.stop().await;
    let (number, text) = (differences.len(), differences.join("\n"));
    assert!(
        differences.is_empty(),
        "{number} differences to release 0.1.0 (the first may bring the others about):\n{text}"
    );
}

#[test]
fn every_call_of_version_1_was_recorded() {
    let document: Value = serde_json::from_str(&filemill_server::openapi_document_v1()).unwrap();
    let recorded: Vec<_> = exchanges().into_iter().map(|exchange| exchange.request).collect();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            let call = format!("{} {path}", method.to_uppercase());
            assert!(recorded.iter().any(|request| is_of(request, &call)), "not recorded: {call}");
        }
    }
}

/// Whether a request is of this call, which has words in braces where requests differ.
fn is_of(request: &str, call: &str) -> bool {
    let (request, call) = (request.split('?').next().unwrap_or_default().split('/'), call.split('/'));
    request.clone().count() == call.clone().count()
        && request.zip(call).all(|(said, documented)| said == documented || documented.starts_with('{'))
}

/// A server as new as that one was: with one release, and one code for a first processor and a first person.
struct Recorded {
    server: Server,
    admin: Admin,
    http: reqwest::Client,
    dir: TempDir,
}

impl Recorded {
    async fn start(names: &mut Names) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = Config::embedded(dir.path());
        let server = Server::start(config.clone()).await.unwrap();
        let admin = Admin::open(&embedded(&config).database().unwrap()).await.unwrap();
        let release = admin.publish(&config.place, "size", "0.2.0", engine()).await.unwrap();
        let grant = JoinGrant {
            organisation: "main".to_owned(),
            member: "processor".to_owned(),
            scope: Scope::Processor,
            pool: Some("main".to_owned()),
            everyone: true,
            login: Some("me".to_owned()),
        };
        let code = admin.create_join_code(&grant).await.unwrap();
        names.learn("release-1", &release.digest).unwrap();
        names.learn("code-1", &code.text).unwrap();
        let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
        Self { server, admin, http, dir }
    }

    async fn stop(self) {
        self.admin.close().await;
        self.server.shutdown().await;
        self.dir.close().unwrap();
    }

    /// Sends a request, and compares its answer.
    async fn replay(&self, exchange: &Exchange, found: &mut Comparison<'_>) {
        let (method, target) = exchange.request.split_once(' ').unwrap();
        let (Some(target), Some(text)) = (found.fill(target), found.fill(exchange.text.as_deref().unwrap_or_default()))
        else {
            return;
        };
        let is_api = target.starts_with('/');
        let url = if is_api { format!("{}{target}", self.server.addresses().listening) } else { target };
        let mut request = self.http.request(method.parse::<Method>().unwrap(), url);
        for (name, value) in &exchange.headers {
            let Some(value) = found.fill(value) else { return };
            request = request.header(name, value);
        }
        if exchange.text.is_some() {
            request = request.body(text);
        } else if let Some(bytes) = &exchange.base64 {
            request = request.body(BASE64.decode(bytes.as_bytes()).unwrap());
        }
        let Ok(answer) = timeout(LIMIT, request.send()).await else {
            return found.differs("", "an answer", "none in time");
        };
        let answer = answer.unwrap();
        found.same("status", &exchange.answer.status, &answer.status().as_u16());
        headers(&exchange.answer, &answer, found);
        if is_api && !exchange.request.ends_with("/health") {
            for name in ON_ITS_WAY_OUT {
                if !answer.headers().contains_key(name) {
                    found.differs(name, "a header of each answer by version 1", "absent");
                }
            }
        }
        body(&exchange.answer, answer, found).await;
    }
}

fn headers(recorded: &Answer, today: &Response, found: &mut Comparison<'_>) {
    for (name, value) in &recorded.headers {
        let today = today.headers().get(name).map_or(Value::Null, |value| value.to_str().unwrap().into());
        found.value(name, &value.as_str().into(), &today);
    }
}

async fn body(recorded: &Answer, mut today: Response, found: &mut Comparison<'_>) {
    if !recorded.pages.is_empty() {
        let mut text = String::new();
        let more = async {
            while text.matches("\n\n").count() < recorded.pages.len() {
                text.push_str(str::from_utf8(&today.chunk().await.unwrap().expect("a stream goes on")).unwrap());
            }
        };
        if timeout(LIMIT, more).await.is_err() {
            return found.differs("pages", &recorded.pages.len().to_string(), &format!("not in time: {text}"));
        }
        for (number, (page, today)) in recorded.pages.iter().zip(text.split("\n\n")).enumerate() {
            found.value(&format!("pages[{number}]"), page, &page_of(today));
        }
        return;
    }
    let Ok(Ok(today)) = timeout(LIMIT, today.bytes()).await else {
        return found.differs("body", "a whole one", "cut off");
    };
    if let Some(json) = &recorded.json {
        match serde_json::from_slice(&today) {
            Ok(today) => found.value("", json, &today),
            Err(_) => found.differs("body", "JSON", &String::from_utf8_lossy(&today)),
        }
    } else if let Some(text) = &recorded.text {
        found.same("body", text, &String::from_utf8_lossy(&today).into_owned());
    } else if let Some(bytes) = &recorded.base64 {
        found.same("body", bytes, &BASE64.encode(&today));
    } else if recorded.status == 204 {
        found.same("body", &"", &&*String::from_utf8_lossy(&today));
    }
}

/// One event of a stream, as it is recorded.
fn page_of(event: &str) -> Value {
    let mut page = serde_json::Map::new();
    for (name, value) in event.lines().filter_map(|line| line.split_once(": ")) {
        let value = if name == "data" { serde_json::from_str(value).unwrap() } else { value.into() };
        page.insert(name.to_owned(), value);
    }
    page.into()
}
