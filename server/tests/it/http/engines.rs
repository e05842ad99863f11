//! Descriptions, and engines that nodes bring themselves, as processor and client speak.

use std::time::Duration;

use filemill_api::limits::MAX_DESCRIPTION_BYTES;
use filemill_api::{
    ComponentUrl, DescriptionQuery, ErrorCode, Item, Offer, OfferAnswer, OfferRequest, OfferState, OpenAnswer,
    OpenRequest, Releases, paths,
};
use filemill_server::accounts::Scope;
use reqwest::StatusCode;

use super::{Mill, POOL, ok, one, problem, sha256, until};

async fn offer(mill: &Mill, engines: Vec<Offer>) -> Vec<Item<OfferState>> {
    let request = OfferRequest { node: "node-1".to_owned(), engines, stopping: false };
    let path = paths::ENGINES.replace("{pool}", POOL);
    let answer: OfferAnswer =
        ok(mill.put_json(&mill.processor, &path, serde_json::to_vec(&request).unwrap()).await).await;
    answer.engines
}

async fn listed(mill: &Mill) -> Vec<(String, String)> {
    let releases: Releases = ok(mill.get(&mill.user, &format!("{}?pool={POOL}", paths::RELEASES)).await).await;
    releases.releases.into_iter().map(|release| (release.engine, release.digest)).collect()
}

#[tokio::test]
async fn an_engine_is_dropped_in_used_and_taken_away() {
    let mill = Mill::start().await;
    let component = b"a component".to_vec();
    let dropped = Offer {
        name: "mine".to_owned(),
        digest: sha256(&component),
        length: component.len() as u64,
        contract: 2,
        minor: 0,
        description: r#"{"version":"0.3.0"}"#.to_owned(),
        stored: false,
    };
    let state = one(offer(&mill, vec![dropped.clone()]).await).into_result().unwrap();
    let put = state.put.expect("a place for it");
    // To say that it is stored does not make it so.
    let claimed = Offer { stored: true, ..dropped.clone() };
    let state = one(offer(&mill, vec![claimed.clone()]).await).into_result().unwrap();
    assert!(!state.visible && state.put.is_some(), "{state:?}");
    // Nothing but these bytes.
    assert_ne!(mill.put(&put, b"b component".to_vec()).await.status(), StatusCode::OK);
    assert_eq!(mill.put(&put, component.clone()).await.status(), StatusCode::OK);
    let published = ("size".to_owned(), mill.release.clone());
    assert_eq!(listed(&mill).await, std::slice::from_ref(&published));
    let short = Offer { length: dropped.length - 1, ..claimed.clone() };
    let state = one(offer(&mill, vec![short]).await).into_result().unwrap();
    assert!(!state.visible && state.put.is_some(), "of another length: {state:?}");
    let state = one(offer(&mill, vec![claimed]).await).into_result().unwrap();
    assert_eq!(state, OfferState { visible: true, put: None });
    assert_eq!(listed(&mill).await, [("local/mine".to_owned(), dropped.digest.clone()), published.clone()]);

    let path = paths::COMPONENT.replace("{digest}", &dropped.digest);
    let url: ComponentUrl = ok(mill.get(&mill.processor, &path).await).await;
    assert_eq!(mill.http.get(&url.get.url).send().await.unwrap().bytes().await.unwrap(), component);
    // Another pool's processors get it under no name.
    let other = mill.admin.create_token("mill", "stray", Scope::Processor, Some("other")).await.unwrap().text;
    problem(mill.get(&other, &path).await, StatusCode::NOT_FOUND).await;
    let mut sample = mill.upload(1);
    sample.open.tasks[0].releases[0].clone_from(&dropped.digest);
    mill.send(&sample).await;

    assert!(offer(&mill, Vec::new()).await.is_empty());
    assert_eq!(listed(&mill).await, [published]);
    let mut another = mill.upload(2);
    another.open.tasks[0].releases[0].clone_from(&dropped.digest);
    let request = OpenRequest { uploads: vec![another.open] };
    let refused: OpenAnswer = mill.ask(&mill.user, paths::UPLOADS, &request).await;
    assert_eq!(one(refused.uploads).into_result().unwrap_err().code, ErrorCode::NotFound);
    mill.stop().await;
}

#[tokio::test]
async fn a_component_that_is_lost_is_no_longer_handed_out() {
    let mill = Mill::start_with(|config| config.sweep.orphans_every = Duration::from_millis(50)).await;
    let component = b"a component".to_vec();
    let mut mine = Offer {
        name: "mine".to_owned(),
        digest: sha256(&component),
        length: component.len() as u64,
        contract: 2,
        minor: 0,
        description: "{}".to_owned(),
        stored: false,
    };
    let put = one(offer(&mill, vec![mine.clone()]).await).into_result().unwrap().put.unwrap();
    assert_eq!(mill.put(&put, component).await.status(), StatusCode::OK);
    mine.stored = true;
    assert!(one(offer(&mill, vec![mine.clone()]).await).into_result().unwrap().visible);
    let file = mill.dir.path().join("objects/filemill/components").join(format!("{}.{POOL}", mine.digest));
    std::fs::remove_file(file).unwrap();
    until("it is not listed any more", async || listed(&mill).await.len() == 1).await;
    let state = one(offer(&mill, vec![mine]).await).into_result().unwrap();
    assert!(!state.visible && state.put.is_some(), "{state:?}");
    mill.stop().await;
}

#[tokio::test]
async fn a_description_is_handed_out_as_it_came() {
    let mill = Mill::start().await;
    let path = mill.describe_path();
    let got = mill.get(&mill.user, &path).await;
    assert_eq!(got.headers()["content-type"], "application/json");
    assert_eq!(got.text().await.unwrap(), "{}");
    assert_eq!(mill.put_json(&mill.processor, &path, r#"{"summary":"later"}"#).await.status(), StatusCode::NO_CONTENT);
    assert_eq!(mill.get(&mill.processor, &path).await.text().await.unwrap(), r#"{"summary":"later"}"#);
    let by_hash = |sha256: Option<String>, pool: Option<&str>| {
        paths::description(&mill.release, &DescriptionQuery { sha256, pool: pool.map(ToOwned::to_owned) })
    };
    for pool in [None, Some(POOL)] {
        let first = mill.get(&mill.user, &by_hash(Some(sha256(b"{}")), pool)).await;
        assert_eq!(first.text().await.unwrap(), "{}", "the one that a result names");
    }
    problem(mill.get(&mill.user, &by_hash(Some(sha256(b"{ }")), None)).await, StatusCode::NOT_FOUND).await;
    problem(mill.get(&mill.user, &by_hash(None, Some("other"))).await, StatusCode::NOT_FOUND).await;
    problem(mill.get(&mill.user, &by_hash(Some("0".to_owned()), None)).await, StatusCode::BAD_REQUEST).await;
    let list = mill.put_json(&mill.processor, &path, "[]").await;
    assert_eq!(problem(list, StatusCode::BAD_REQUEST).await.error.code, ErrorCode::BadRequest);
    let long = mill.put_json(&mill.processor, &path, vec![b' '; MAX_DESCRIPTION_BYTES + 1]).await;
    problem(long, StatusCode::PAYLOAD_TOO_LARGE).await;
    let binary = mill.put_json(&mill.processor, &path, vec![0xff; 4]).await;
    problem(binary, StatusCode::BAD_REQUEST).await;
    let user = mill.put_json(&mill.user, &path, "{}").await;
    assert_eq!(problem(user, StatusCode::FORBIDDEN).await.error.code, ErrorCode::Forbidden);
    let unknown = paths::DESCRIPTION.replace("{digest}", &"0".repeat(64));
    problem(mill.get(&mill.user, &unknown).await, StatusCode::NOT_FOUND).await;
    problem(mill.put_json(&mill.processor, &unknown, "{}").await, StatusCode::NOT_FOUND).await;
    let user = mill.put_json(&mill.user, &paths::ENGINES.replace("{pool}", POOL), r#"{"node":"n","engines":[]}"#).await;
    problem(user, StatusCode::FORBIDDEN).await;
    mill.stop().await;
}

/// A component with this content, stored.
async fn store(mill: &Mill, name: &str, component: &[u8]) -> Offer {
    let offered = Offer {
        name: name.to_owned(),
        digest: sha256(component),
        length: component.len() as u64,
        contract: 2,
        minor: 0,
        description: "{}".to_owned(),
        stored: false,
    };
    let put = one(offer(mill, vec![offered.clone()]).await).into_result().unwrap().put.expect("a place for it");
    assert_eq!(mill.put(&put, component.to_vec()).await.status(), StatusCode::OK);
    Offer { stored: true, ..offered }
}

fn file(mill: &Mill, offer: &Offer) -> std::path::PathBuf {
    mill.dir.path().join("objects/filemill/components").join(format!("{}.{POOL}", offer.digest))
}

/// Storage fails when it looks at this one.
fn break_component(mill: &Mill, offer: &Offer) {
    let file = file(mill, offer);
    std::fs::remove_file(&file).unwrap();
    std::os::unix::fs::symlink(&file, &file).unwrap();
}

#[tokio::test]
async fn a_component_that_cannot_be_looked_at_hides_no_other_and_keeps_none_from_being_missed() {
    let mill = Mill::start_with(|config| config.sweep.orphans_every = Duration::from_millis(50)).await;
    let mine = [store(&mill, "broken", b"one").await, store(&mill, "lost", b"another").await];
    assert!(offer(&mill, mine.to_vec()).await.into_iter().all(|state| state.into_result().unwrap().visible));
    break_component(&mill, &mine[0]);
    std::fs::remove_file(file(&mill, &mine[1])).unwrap();
    until("the lost one is missed", async || listed(&mill).await.len() == 2).await;
    assert!(listed(&mill).await.iter().any(|(engine, _)| engine == "local/broken"), "nobody knows");
    mill.stop().await;
}

#[tokio::test]
async fn a_look_that_fails_hides_that_engine_only() {
    let mill = Mill::start().await;
    let good = store(&mill, "good", b"one").await;
    let broken = store(&mill, "broken", b"another").await;
    break_component(&mill, &broken);
    let states = offer(&mill, vec![broken, good.clone()]).await.into_iter().map(|state| state.into_result().unwrap());
    let expected = [OfferState { visible: false, put: None }, OfferState { visible: true, put: None }];
    assert_eq!(states.collect::<Vec<_>>(), expected);
    assert!(listed(&mill).await.contains(&("local/good".to_owned(), good.digest)));
    mill.stop().await;
}

#[tokio::test]
async fn a_claim_is_not_true_because_another_of_the_same_component_is() {
    let mill = Mill::start().await;
    let good = store(&mill, "good", b"a component").await;
    let short = Offer { name: "short".to_owned(), length: good.length - 1, ..good.clone() };
    let states = offer(&mill, vec![short, good.clone()]).await;
    assert!(states.into_iter().all(|state| !state.into_result().is_ok_and(|state| state.visible)));
    assert_eq!(listed(&mill).await.len(), 1, "the published one");
    assert!(one(offer(&mill, vec![good]).await).into_result().unwrap().visible);
    mill.stop().await;
}
