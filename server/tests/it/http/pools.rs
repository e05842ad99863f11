//! A pool is nothing to organisations that it does not serve: as if there were none of that name.

use filemill_api::{
    AdvanceUpload, Item, JobStates, Offer, OfferAnswer, OfferRequest, OpenAnswer, OpenRequest, OpenedUpload, Pools,
    Problem, PublishPool, Releases, SignedStatement, UploadState, paths,
};
use filemill_server::accounts::Scope;
use reqwest::StatusCode;

use super::{Mill, ok, one, problem, sha256, want};

/// A pool that the members of `acme` are to know nothing of, and one that there is not.
const THEIRS: &str = "theirs";
const NOWHERE: &str = "nowhere";

/// Makes a pool of another organisation, which brings an engine of its own; answers its token and the engine's digest.
async fn their_pool(mill: &Mill) -> (String, String) {
    let token = mill.admin.create_token("them", "node", Scope::Processor, Some(THEIRS)).await.unwrap().text;
    let statement = format!(r#"{{"filemill_pool":1,"pool":"{THEIRS}","serial":1}}"#);
    let pool = SignedStatement { statement, signature: "00".repeat(64) };
    assert_eq!(
        mill.post(&token, paths::POOLS, &PublishPool { pool, root: None }).await.status(),
        StatusCode::NO_CONTENT
    );
    let component = b"their component".to_vec();
    let mut offer = Offer {
        name: "secret".to_owned(),
        digest: sha256(&component),
        length: component.len() as u64,
        contract: 1,
        minor: 0,
        description: r#"{"summary":"what only they should read"}"#.to_owned(),
        stored: false,
    };
    let path = paths::ENGINES.replace("{pool}", THEIRS);
    let state = async |offer: &Offer| {
        let request = OfferRequest { node: "node-1".to_owned(), engines: vec![offer.clone()], stopping: false };
        let answer: OfferAnswer = ok(mill.put_json(&token, &path, serde_json::to_vec(&request).unwrap()).await).await;
        one(answer.engines).into_result().unwrap()
    };
    let put = state(&offer).await.put.unwrap();
    assert_eq!(mill.put(&put, component).await.status(), StatusCode::OK);
    offer.stored = true;
    assert!(state(&offer).await.visible);
    let described = r#"{"summary":"theirs is the last word"}"#;
    assert_eq!(mill.put_json(&token, &mill.describe_path(), described).await.status(), StatusCode::NO_CONTENT);
    (token, offer.digest)
}

async fn open(mill: &Mill, token: &str, pool: &str, release: &str, id: u8) -> Item<OpenedUpload> {
    let mut sample = mill.upload(id);
    sample.open.pool = pool.to_owned();
    sample.open.tasks[0].releases[0] = release.to_owned();
    let answer: OpenAnswer = mill.ask(token, paths::UPLOADS, &OpenRequest { uploads: vec![sample.open] }).await;
    one(answer.uploads)
}

async fn statements(mill: &Mill, token: &str) -> Vec<String> {
    let pools: Pools = ok(mill.get(token, paths::POOLS).await).await;
    pools.pools.into_iter().map(|pool| pool.statement).collect()
}

#[tokio::test]
async fn whom_a_pool_does_not_serve_cannot_tell_it_from_one_that_there_is_not() {
    let mill = Mill::start().await;
    let (_, engine) = their_pool(&mill).await;
    assert!(statements(&mill, &mill.user).await.iter().all(|statement| !statement.contains(THEIRS)), "listed");
    let listed = async |query: &str| {
        let releases: Releases = ok(mill.get(&mill.user, &format!("{}{query}", paths::RELEASES)).await).await;
        serde_json::to_string(&releases).unwrap()
    };
    assert_eq!(listed(&format!("?pool={THEIRS}")).await, listed(&format!("?pool={NOWHERE}")).await);
    assert!(!listed("").await.contains("theirs is the last word"), "said by nodes of a pool that does not serve");

    for release in [&mill.release, &engine] {
        let [hidden, absent] = [THEIRS, NOWHERE].map(|pool| open(&mill, &mill.user, pool, release, 1));
        let (hidden, absent) = (hidden.await.into_result().unwrap_err(), absent.await.into_result().unwrap_err());
        let renamed = serde_json::to_string(&hidden).unwrap().replace(THEIRS, NOWHERE);
        assert_eq!(renamed, serde_json::to_string(&absent).unwrap());
    }
    let described = async |digest: &str, query: &str| {
        let path = format!("{}{query}", paths::DESCRIPTION.replace("{digest}", digest));
        let problem: Problem = problem(mill.get(&mill.user, &path).await, StatusCode::NOT_FOUND).await;
        problem.error
    };
    let size = mill.release.clone();
    assert_eq!(described(&size, &format!("?pool={THEIRS}")).await, described(&size, &format!("?pool={NOWHERE}")).await);
    described(&engine, "").await;
    let text = mill.get(&mill.user, &mill.describe_path()).await.text().await.unwrap();
    assert_eq!(text, "{}", "what the nodes of their own pool said");
    mill.stop().await;
}

#[tokio::test]
async fn whom_a_pool_serves_is_what_its_operator_says_and_what_was_sent_before_goes_on() {
    use filemill_server::catalog::Serves;
    let mill = Mill::start().await;
    let (token, engine) = their_pool(&mill).await;
    let friend = mill.admin.create_token("them", "theo", Scope::User, None).await.unwrap().text;
    let operator = mill.admin.create_token("site", "olga", Scope::Operator, None).await.unwrap().text;
    for who in [&friend, &operator, &token] {
        assert!(statements(&mill, who).await.iter().any(|statement| statement.contains(THEIRS)), "{who}");
    }
    open(&mill, &friend, THEIRS, &engine, 1).await.into_result().unwrap();

    let serves = |names: &[&str]| Serves::Organisations(names.iter().map(|name| (*name).to_owned()).collect());
    mill.admin.serve_pool(THEIRS, &serves(&["acme"])).await.unwrap();
    super::until("the server knows", async || !statements(&mill, &friend).await.iter().any(|one| one.contains(THEIRS)))
        .await;
    // Each time another one: what was opened is opened again.
    let mut id = 100;
    super::until("the server does so", async || {
        id += 1;
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        open(&mill, &friend, THEIRS, &engine, id).await.into_result().is_err()
    })
    .await;
    // It goes on: opened again after a restart of the client, stored, asked about.
    let again = open(&mill, &friend, THEIRS, &engine, 1).await.into_result().unwrap();
    assert_eq!(again.state, UploadState::Uploading);
    let sample = mill.upload(1);
    let stored = AdvanceUpload {
        id: sample.open.id.clone(),
        header_stored: true,
        stored: vec![want(0, &sample.chunk)],
        want: Vec::new(),
    };
    let request = filemill_api::AdvanceRequest { uploads: vec![stored] };
    let answer: filemill_api::AdvanceAnswer = mill.ask(&friend, paths::ADVANCE, &request).await;
    assert_eq!(one(answer.uploads).into_result().unwrap().state, UploadState::Stored);
    let path = paths::UPLOAD.replace("{upload}", &sample.open.id);
    let states: JobStates = ok(mill.get(&friend, &path).await).await;
    assert_eq!(states.waiting.len(), 1);
    let lease = filemill_api::LeaseRequest { pool: THEIRS.to_owned(), ..super::lease_request(2000) };
    let leased: filemill_api::LeaseAnswer = mill.ask(&token, paths::LEASES, &lease).await;
    assert!(leased.uploads.iter().any(|work| work.upload == sample.open.id));

    // And who is served now, is.
    open(&mill, &mill.user, THEIRS, &engine, 2).await.into_result().unwrap();
    let listed: Releases = ok(mill.get(&mill.user, &format!("{}?pool={THEIRS}", paths::RELEASES)).await).await;
    assert!(listed.releases.iter().any(|release| release.engine == "local/secret"), "{listed:?}");

    // Another organisation's token for a node adds nobody; the operator does.
    mill.admin.create_token("more", "node", Scope::Processor, Some(THEIRS)).await.unwrap();
    let mo = mill.admin.create_token("more", "mo", Scope::User, None).await.unwrap().text;
    open(&mill, &mo, THEIRS, &engine, 3).await.into_result().unwrap_err();
    for refused in [
        mill.admin.serve_pool("no-pool", &Serves::Everyone).await,
        mill.admin.serve_pool(THEIRS, &serves(&["acme", "nobody"])).await,
    ] {
        assert!(refused.unwrap_err().to_string().contains("there is no"));
    }
    mill.admin.serve_pool(THEIRS, &Serves::Everyone).await.unwrap();
    open(&mill, &mo, THEIRS, &engine, 3).await.into_result().unwrap();
    let pools = mill.admin.listing().pool_services().await.unwrap();
    let served: Vec<_> = pools.into_iter().map(|pool| (pool.pool, pool.serves)).collect();
    assert_eq!(served, [(super::POOL.to_owned(), Serves::Everyone), (THEIRS.to_owned(), Serves::Everyone)]);
    // That it serves everyone was found out for all at once, and so is that it does not any more.
    mill.admin.serve_pool(THEIRS, &serves(&["acme"])).await.unwrap();
    super::until("it serves them no more", async || {
        id += 1;
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        open(&mill, &mo, THEIRS, &engine, id).await.into_result().is_err()
    })
    .await;
    mill.stop().await;
}
