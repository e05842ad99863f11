//! A server that cheats: it can withhold, never forge, swap or read.

use filemill_api::SignedStatement;
use filemill_client::{Ending, Error, Event, SendOptions};
use filemill_seal::{Identity, LogLine, PoolRoot, Statement};

use crate::fake::Cheat;
use crate::world::{World, eventually};

/// What is said of two files whose results are cheated with, in either format, sealed one by one.
async fn cheated(cheat: Cheat) -> [String; 2] {
    [cheated_in(cheat, 1).await, cheated_in(cheat, 2).await]
}

async fn cheated_in(cheat: Cheat, format: u8) -> String {
    let world = World::new().await;
    {
        let mut inner = world.fake.lock();
        (inner.faults.cheat, inner.faults.batch_of) = (cheat, Some(1));
        inner.formats = vec![format];
    }
    world.write("a", "one");
    world.write("b", "three");
    let ran = world.send().await;
    ran.result.as_ref().unwrap();
    assert!(ran.finished.iter().all(|file| matches!(file.ending, Ending::NotShown { .. })), "{ran:?}");
    // It is not shown later either.
    let client = world.client().await;
    let page = client.results(0).await.unwrap();
    assert!(page.files.iter().all(|file| matches!(file.ending, Ending::NotShown { .. })) && page.files.len() == 2);
    client.close().await;
    assert!(world.fake.headers().iter().all(|(_, open)| open.format == format));
    ran.summary(&world.files())
}

#[tokio::test(flavor = "multi_thread")]
async fn swapped_results_are_not_shown() {
    for said in cheated(Cheat::Swap).await {
        assert!(said.lines().all(|line| line.contains("of the upload, not for file")), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_results_are_not_shown() {
    for said in cheated(Cheat::Forge).await {
        assert!(said.starts_with("a: result was not made by a processor of the pool"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_success_without_a_result_is_not_shown() {
    for said in cheated(Cheat::Withhold).await {
        assert!(said.starts_with("a: the server says `succeeded` and has no result"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_of_another_release_is_not_shown() {
    for said in cheated(Cheat::OtherRelease).await {
        assert!(said.contains("which the upload does not allow"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn data_goes_only_to_storage_that_the_login_pinned() {
    let world = World::new().await;
    world.write("file", "content");
    world.fake.lock().faults.storage_elsewhere = Some("http://127.0.0.1:1".to_owned());
    let ran = world.send().await;
    assert!(matches!(ran.result, Err(Error::ForeignOrigin { origin }) if origin == "http://127.0.0.1:1"));
    world.fake.lock().faults.storage_elsewhere = None;
    world.send().await.assert_sizes(&[("file", 7)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sealed_for_a_recipient_that_the_root_did_not_sign() {
    let world = World::new().await;
    world.write("file", "content");
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let own = Statement {
        pool: "main".into(),
        recipient: Identity::generate().recipient(),
        not_before: now - 60,
        not_after: now + 60,
        serial: 9,
    };
    let signed = serde_json::to_value(PoolRoot::generate().sign(&own).unwrap()).unwrap();
    let genuine = std::mem::take(&mut world.fake.lock().pools);
    world.fake.lock().pools.push(serde_json::from_value::<SignedStatement>(signed).unwrap());
    let ran = world.send().await;
    assert!(matches!(ran.result, Err(Error::Pool(filemill_seal::PoolError::NotSigned { .. }))), "{:?}", ran.result);
    assert!(world.fake.lock().uploads.is_empty());

    // Between others the genuine one is found.
    world.fake.lock().pools.extend(genuine);
    world.send().await.assert_sizes(&[("file", 7)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recipient_that_was_replaced_is_not_accepted_again() {
    let world = World::new().await;
    world.write("file", "content");
    let old = world.fake.lock().statement(1);
    let new = world.fake.lock().statement(2);
    world.fake.lock().pools = vec![new];
    world.send().await.assert_sizes(&[("file", 7)]);
    world.fake.lock().pools = vec![old];
    world.write("file", "other content");
    let ran = world.send().await;
    assert!(matches!(ran.result, Err(Error::Pool(filemill_seal::PoolError::Superseded { .. }))), "{:?}", ran.result);
}

#[tokio::test(flavor = "multi_thread")]
async fn long_results_do_not_pile_up_before_a_slow_reader() {
    let world = World::new().await;
    let line = LogLine { level: "info".to_owned(), message: "x".repeat(100 << 10) };
    world.fake.lock().faults.log = vec![line];
    for index in 0..8 {
        world.write(&format!("f{index}"), index.to_string());
    }
    let client = world.client().await;
    let options = SendOptions { paths: vec![world.files()], ..SendOptions::default() };
    let (sending, mut told) = client.send(options);
    let read = async {
        eventually("the first result", || sending.progress().done_files >= 1).await;
        for finished in 0..8 {
            for _ in 0..5 {
                // Not to wait for anything: this is a terminal that is slow.
                tokio::time::sleep(std::time::Duration::from_millis(5)).await;
                assert!(told.len() <= 1, "{} results wait", told.len());
            }
            let event = told.next().await;
            assert!(matches!(event, Some(Event::Finished(_))), "{finished}: {event:?}");
        }
    };
    let (result, ()) = tokio::join!(sending.ended(), read);
    result.unwrap();
    client.close().await;
}
