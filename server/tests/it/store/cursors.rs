//! How far readers of events have come, in a database that may be another than it was; and results that are still to be fetched.

use std::sync::Arc;
use std::time::Duration;

use filemill_api::{
    CancelRequest, Complete, CompleteRequest, ErrorCode, FetchRequest, Offer, OfferRequest, Outcome, ResultKey,
    SealedBody, SignedStatement, Told, limits,
};
use filemill_server::accounts::Caller;
use filemill_server::maintenance::MaintenanceConfig;
use filemill_server::queue::{Device, Mark, Position, RecordedEvent, RecordedKind};
use filemill_server::{Domains, DomainsConfig};

use super::site::{
    POOL, Site, code, complete_all, events, eventually, key, lease, only, open_one, release, results, runs, send,
    single, wish,
};

super::on_both!(
    a_position_of_another_life_of_the_database_is_reset,
    a_position_whose_event_was_deleted_is_still_known,
    a_cursor_that_was_never_given_marks_nothing_as_taken_in,
    a_reader_without_marks_beyond_all_events_gets_them_behind_its_cursor,
    invented_cursors_do_not_use_up_those_that_there_are,
    a_request_gives_no_more_events_new_cursors_than_a_short_transaction_can,
    what_was_taken_in_is_written_down_when_the_database_takes_it_again,
    events_from_before_there_were_marks_are_known_by_their_number,
    a_result_that_is_still_to_be_fetched_is_kept_though_it_was_read,
    what_one_device_has_read_is_kept_for_the_others,
    what_a_device_has_not_read_is_kept_while_all_are_away,
    devices_are_bounded,
    results_that_are_still_to_be_fetched_are_bounded,
    what_a_node_told_a_database_that_was_lost_is_asked_for,
    a_lease_of_an_upload_that_was_lost_completes_no_other,
);

fn behind(event: &RecordedEvent) -> Position {
    Position { after: event.cursor, mark: Mark::Known(event.mark), ..Position::default() }
}

async fn analysed(site: &Site, server: &Domains, caller: &Caller, files: u32) -> String {
    let id = send(server, caller, &site.bundle(files)).await;
    complete_all(server, &lease(server, "n", files).await).await;
    id
}

/// Takes the database back to when it had so many events of its one organisation.
async fn restored(site: &Site, events: i64) {
    let sql = format!(
        "delete from events where cursor > {events}; update organisations set cursor = {events} where name = 'acme'; \
         update members set taken = 0, taken_mark = null; delete from devices"
    );
    site.sql(&sql, &sql).await;
}

fn keeping(retention_ms: u64) -> DomainsConfig {
    DomainsConfig {
        maintenance: MaintenanceConfig {
            retention: Duration::from_millis(retention_ms),
            ..MaintenanceConfig::default()
        },
        ..DomainsConfig::default()
    }
}

/// Deletes what is due; says whether results were among it.
async fn swept(server: &Domains, caller: &Caller) -> bool {
    let before = events(server, caller).await.len();
    // What is finished has chunks to be deleted first.
    for _ in 0..3 {
        let doomed = server.maintenance.doomed(1000).await.expect("an answer");
        server.maintenance.forget(doomed).await.expect("forgotten");
    }
    events(server, caller).await.len() < before
}

async fn a_position_of_another_life_of_the_database_is_reset(site: Arc<Site>) {
    let server = site.server();
    let ann = site.user(&server, "acme", "ann").await;
    analysed(&site, &server, &ann, 4).await;
    let before = events(&server, &ann).await;
    let (kept, lost) = (behind(&before[0]), behind(&before[3]));
    let page = server.queue.events_behind(&ann, kept, None).await.expect("events");
    assert_eq!((page.events.len(), page.reset), (3, false));
    assert!(!server.queue.events_behind(&ann, lost, None).await.expect("events").reset);

    restored(&site, 1).await;
    let page = server.queue.events_behind(&ann, lost, None).await.expect("events");
    assert_eq!((page.events.len(), page.reset), (0, true), "it is from the future");
    analysed(&site, &server, &ann, 9).await;
    let page = server.queue.events_behind(&ann, lost, None).await.expect("events");
    assert_eq!((page.events.len(), page.reset), (0, true), "others have its number now");
    let page = server.queue.events_behind(&ann, kept, None).await.expect("events");
    assert_eq!((page.events.len(), page.reset), (9, false));
    // Who knows that there are marks, and not this one.
    let unknown = |after| Position { after, mark: Mark::Unknown, ..Position::default() };
    assert!(server.queue.events_behind(&ann, unknown(11), None).await.expect("events").reset);
    assert!(!server.queue.events_behind(&ann, unknown(10), None).await.expect("events").reset);
    let bob = site.user(&server, "acme", "bob").await;
    assert!(server.queue.events_behind(&bob, kept, None).await.expect("events").reset, "another member's");
}

async fn a_position_whose_event_was_deleted_is_still_known(site: Arc<Site>) {
    let server = site.server_with(keeping(1));
    let ann = site.user(&server, "acme", "ann").await;
    analysed(&site, &server, &ann, 2).await;
    let last = behind(&events(&server, &ann).await[1]);
    server.queue.events_behind(&ann, last, None).await.expect("events");
    eventually("results go", || async { swept(&server, &ann).await.then_some(()) }).await;
    assert!(results(&server, &ann).await.is_empty());
    analysed(&site, &server, &ann, 3).await;
    let page = server.queue.events_behind(&ann, last, None).await.expect("events");
    assert_eq!((page.events.len(), page.reset), (3, false));
}

async fn a_cursor_that_was_never_given_marks_nothing_as_taken_in(site: Arc<Site>) {
    let server = site.server_with(keeping(1));
    let ann = site.user(&server, "acme", "ann").await;
    analysed(&site, &server, &ann, 2).await;
    // Not read by this test's own helper, which would take them in.
    let page = server.queue.events(&ann, 0, None).await.expect("events");
    let last = page.events[1].clone();
    for mark in [Mark::Known(last.mark ^ 1), Mark::Known(0)] {
        let claimed = Position { after: last.cursor, mark, ..Position::default() };
        assert!(server.queue.events_behind(&ann, claimed, None).await.expect("events").reset);
    }
    for (after, mark) in
        [(i64::MAX, Mark::Unsaid), (i64::MAX, Mark::Unknown), (i64::MAX, Mark::Known(7)), (-5, Mark::Unsaid)]
    {
        server.queue.events_behind(&ann, Position { after, mark, ..Position::default() }, None).await.expect("events");
    }
    let doomed = async || {
        let doomed = server.maintenance.doomed(1000).await.expect("an answer");
        server.maintenance.forget(doomed).await.expect("forgotten");
        server.queue.events(&ann, 0, None).await.expect("events").events.len()
    };
    for _ in 0..5 {
        assert_eq!(doomed().await, 2, "they were never taken in");
    }
    server.queue.events_behind(&ann, behind(&last), None).await.expect("events");
    eventually("they go", || async { (doomed().await == 0).then_some(()) }).await;
}

async fn a_reader_without_marks_beyond_all_events_gets_them_behind_its_cursor(site: Arc<Site>) {
    let server = site.server();
    let ann = site.user(&server, "acme", "ann").await;
    let bob = site.user(&server, "acme", "bob").await;
    let id = analysed(&site, &server, &ann, 5).await;
    analysed(&site, &server, &bob, 1).await;
    // It was in a later life of the database before that was restored.
    let (mut after, mut seen) = (1000, Vec::new());
    loop {
        let page = server.queue.events(&ann, after, Some(2)).await.expect("events");
        if page.events.is_empty() {
            break;
        }
        assert!(page.events.iter().all(|event| event.cursor > after), "{page:?}");
        after = page.next;
        seen.extend(page.events);
    }
    assert_eq!(seen.len(), 5);
    assert!(seen.iter().all(|event| event.upload == id));
    analysed(&site, &server, &ann, 1).await;
    assert_eq!(server.queue.events(&ann, after, None).await.expect("events").events.len(), 1, "and what comes later");
    assert_eq!(results(&server, &bob).await.len(), 1);
    // Whoever invents cursors does not use them up.
    for after in [i64::MAX, i64::MAX - 1, 1 << 62] {
        assert_eq!(server.queue.events(&ann, after, None).await.expect("events").events.len(), 6);
    }
    analysed(&site, &server, &ann, 1).await;
    let last = server.queue.events(&ann, 0, None).await.expect("events").next;
    assert!(last < 1 << 33, "{last}");
}

async fn invented_cursors_do_not_use_up_those_that_there_are(site: Arc<Site>) {
    let server = site.server();
    let ann = site.user(&server, "acme", "ann").await;
    let id = analysed(&site, &server, &ann, 3).await;
    // Each member once a minute: doubled each time, the organisation's cursors would be used up by 62 of them.
    for member in 0..70 {
        let member = site.user(&server, "acme", &format!("member-{member}")).await;
        let furthest = site.number("select cursor from organisations where name = 'acme'").await;
        server.queue.events(&member, furthest + 1, None).await.expect("events");
    }
    let furthest = site.number("select cursor from organisations where name = 'acme'").await;
    assert_eq!(furthest, 3 + 70);
    assert_eq!(server.queue.events(&ann, furthest + 1, None).await.expect("events").events.len(), 3);
    let own = server.queue.events(&ann, 0, None).await.expect("events").events;
    let cursors: Vec<_> = own.iter().map(|event| event.cursor).collect();
    assert_eq!(cursors, [75, 76, 77], "one after the other, in their order");
    let indexes: Vec<_> = own
        .iter()
        .map(|event| matches!(&event.kind, RecordedKind::Results { jobs, .. } if event.upload == id && jobs[0].job < 3))
        .collect();
    assert_eq!(indexes, [true; 3]);
    analysed(&site, &server, &ann, 1).await;
    assert_eq!(server.queue.events(&ann, 77, None).await.expect("events").events.len(), 1, "results are recorded");

    // Nor beyond what any implementation of JSON keeps.
    let beyond = format!("update organisations set cursor = {}", 1_i64 << 53);
    site.sql(&beyond, &beyond).await;
    let bob = site.user(&server, "acme", "bob").await;
    server.queue.events(&bob, (1 << 53) + 1000, None).await.expect("events");
    assert_eq!(site.number("select cursor from organisations where name = 'acme'").await, 1 << 53);
}

async fn a_request_gives_no_more_events_new_cursors_than_a_short_transaction_can(site: Arc<Site>) {
    let server = site.server();
    let ann = site.user(&server, "acme", "ann").await;
    let bob = site.user(&server, "acme", "bob").await;
    analysed(&site, &server, &bob, 3).await;
    let large = "decode(repeat('00', 3000000), 'hex')";
    site.sql("update events set body = zeroblob(3000000)", &format!("update events set body = {large}")).await;
    let upload = site.bundle(2049);
    open_one(&server, &ann, &upload).await.expect("opened");
    server.queue.cancel(&ann, CancelRequest { uploads: vec![upload.id] }).await.expect("cancelled");
    let furthest = 3 + 2049;
    assert_eq!(site.number("select cursor from organisations where name = 'acme'").await, furthest);

    for (member, first) in [(&ann, 4), (&bob, 1)] {
        let page = server.queue.events(member, furthest + 1, None).await.expect("events");
        assert_eq!(page.events[0].cursor, first, "it is read from the beginning");
        let there = format!("select count(*) from events where cursor = {first}");
        assert_eq!(site.number(&there).await, 1, "and where it was");
    }
    assert_eq!(site.number("select cursor from organisations where name = 'acme'").await, furthest);

    // Those of whom there is less get theirs behind the cursor.
    let eve = site.user(&server, "acme", "eve").await;
    let upload = site.bundle(2048);
    open_one(&server, &eve, &upload).await.expect("opened");
    server.queue.cancel(&eve, CancelRequest { uploads: vec![upload.id] }).await.expect("cancelled");
    let page = server.queue.events(&eve, 10_000, Some(1)).await.expect("events");
    assert_eq!(page.events[0].cursor, 10_001);
}

async fn what_was_taken_in_is_written_down_when_the_database_takes_it_again(site: Arc<Site>) {
    let server = site.server_with(keeping(1));
    let ann = site.user(&server, "acme", "ann").await;
    analysed(&site, &server, &ann, 1).await;
    let page = server.queue.events(&ann, 0, None).await.expect("events");
    server.queue.events_behind(&ann, behind(&page.events[0]), None).await.expect("events");
    let sweep = async || {
        let doomed = server.maintenance.doomed(1000).await?;
        server.maintenance.forget(doomed).await
    };
    let rename = |from, to| format!("alter table members rename column {from} to {to}");
    site.sql(&rename("taken", "away"), &rename("taken", "away")).await;
    eventually("the database fails", || async { sweep().await.is_err().then_some(()) }).await;
    site.sql(&rename("away", "taken"), &rename("away", "taken")).await;
    // Its reader does not say again that it has them.
    eventually("they go", || async {
        sweep().await.expect("swept");
        server.queue.events(&ann, 0, None).await.expect("events").events.is_empty().then_some(())
    })
    .await;
}

async fn events_from_before_there_were_marks_are_known_by_their_number(site: Arc<Site>) {
    let server = site.server();
    let ann = site.user(&server, "acme", "ann").await;
    analysed(&site, &server, &ann, 2).await;
    site.sql("update events set mark = null", "update events set mark = null").await;
    let before = events(&server, &ann).await;
    assert!(before.iter().all(|event| event.mark == 0));
    analysed(&site, &server, &ann, 1).await;
    let page = server.queue.events_behind(&ann, behind(&before[1]), None).await.expect("events");
    assert_eq!((page.events.len(), page.reset), (1, false));
    assert_ne!(page.events[0].mark, 0);
}

async fn complete_as_object(server: &Domains, sha256: &str) {
    let run = only(&lease(server, "n", 1).await);
    let sealed = Some(SealedBody::Object { length: 70_000, sha256: sha256.to_owned() });
    let results = vec![single(run.jobs[0], Outcome::Succeeded, sealed)];
    let request = CompleteRequest { node: "n".to_owned(), leases: vec![Complete { lease: key(&run), results }] };
    server.queue.complete(POOL, request).await.expect("answers").leases.remove(0).into_result().expect("recorded");
}

fn fetch(want: &[(&str, u32)], fetched: &[(&str, u32)]) -> FetchRequest {
    let keys = |places: &[(&str, u32)]| {
        places.iter().map(|(upload, index)| ResultKey { upload: (*upload).to_owned(), job: *index }).collect()
    };
    FetchRequest { want: keys(want), fetched: keys(fetched), ..FetchRequest::default() }
}

async fn a_result_that_is_still_to_be_fetched_is_kept_though_it_was_read(site: Arc<Site>) {
    let server = site.server_with(keeping(1));
    let ann = site.user(&server, "acme", "ann").await;
    let bob = site.user(&server, "acme", "bob").await;
    let id = send(&server, &ann, &site.bundle(2)).await;
    complete_as_object(&server, &"d".repeat(64)).await;
    complete_all(&server, &lease(&server, "n", 2).await).await;
    let last = behind(&events(&server, &ann).await[1]);

    let asked = fetch(&[(&id, 0), (&id, 1), (&id, 7), ("x", 0), (&id, 0)], &[]);
    let found = server.queue.fetch(&ann, last, &asked).await.expect("an answer");
    assert!(!found.reset);
    let found: Vec<_> = found.results.into_iter().map(|one| one.map(|one| one.kept).map_err(|no| no.code)).collect();
    let gone = Err(ErrorCode::NotFound);
    // The same one twice in a request is answered once.
    assert_eq!(found, [Ok(true), Ok(true), gone, gone, gone]);
    let theirs =
        server.queue.fetch(&bob, Position::default(), &fetch(&[(&id, 0)], &[(&id, 0)])).await.expect("an answer");
    assert_eq!(theirs.results[0].as_ref().expect_err("not his").code, ErrorCode::NotFound);
    let lost = Position { mark: Mark::Known(1), ..last };
    let reset = server.queue.fetch(&ann, lost, &fetch(&[], &[(&id, 0), (&id, 1)])).await.expect("an answer");
    assert!(reset.reset, "a position of another database");

    server.queue.events_behind(&ann, last, None).await.expect("events");
    for _ in 0..5 {
        assert!(!swept(&server, &ann).await, "they are still to be fetched");
    }
    server.queue.fetch(&ann, last, &fetch(&[], &[(&id, 1)])).await.expect("an answer");
    assert!(!swept(&server, &ann).await, "one is still to be fetched");
    server.queue.fetch(&ann, last, &fetch(&[], &[(&id, 0)])).await.expect("an answer");
    eventually("they go", || async { swept(&server, &ann).await.then_some(()) }).await;
    let gone = server.queue.fetch(&ann, last, &fetch(&[(&id, 0)], &[])).await.expect("an answer");
    assert_eq!(gone.results[0].as_ref().expect_err("gone").code, ErrorCode::NotFound);
}

async fn what_one_device_has_read_is_kept_for_the_others(site: Arc<Site>) {
    let server = site.server_with(keeping(1));
    let ann = site.user(&server, "acme", "ann").await;
    let device = |number: u32| Device::parse(&format!("{number:032x}"));
    let on = |position: Position, number| Position { device: device(number), ..position };
    analysed(&site, &server, &ann, 2).await;
    let read = async |position| server.queue.events_behind(&ann, position, None).await.expect("events");
    // Both ask, and one reads on: by the number of its own device, and no other's.
    for number in [1, 2] {
        assert_eq!(read(on(Position::default(), number)).await.events.len(), 2);
    }
    let last = read(on(Position::default(), 1)).await.events.remove(1);
    assert!(read(on(behind(&last), 1)).await.events.is_empty());
    let sweep = async || {
        for _ in 0..3 {
            let doomed = server.maintenance.doomed(1000).await.expect("an answer");
            server.maintenance.forget(doomed).await.expect("forgotten");
        }
        site.number("select count(*) from events").await
    };
    assert_eq!(sweep().await, 2, "the other has not read them");
    // Nor does one read by a guess, or moved by a place that the server never gave.
    let guessed = Position { mark: Mark::Unsaid, ..on(behind(&last), 2) };
    assert!(!read(guessed).await.reset);
    assert_eq!(sweep().await, 2);
    let invented = Position { mark: Mark::Known(1), ..on(behind(&last), 2) };
    assert!(read(invented).await.reset);
    assert_eq!(sweep().await, 2);
    // One that has not come for a month is not waited for.
    let old = "update devices set seen_at = seen_at - 31 * 24 * 3600 * cast(1000 as bigint) where device like '%2'";
    site.sql(old, old).await;
    assert_eq!(sweep().await, 0);
    // Each goes on from where it is, and none is reset for what was deleted.
    assert!(!read(on(behind(&last), 1)).await.reset);
}

async fn what_a_device_has_not_read_is_kept_while_all_are_away(site: Arc<Site>) {
    let server = site.server_with(keeping(1));
    let ann = site.user(&server, "acme", "ann").await;
    let named = Position { device: Device::parse(&format!("{:032x}", 1)), ..Position::default() };
    analysed(&site, &server, &ann, 2).await;
    let read = async |position| server.queue.events_behind(&ann, position, None).await.expect("events");
    read(named).await;
    let last = read(Position::default()).await.events.remove(1);
    assert!(read(behind(&last)).await.events.is_empty());
    server.maintenance.doomed(1000).await.expect("an answer");
    let old = "update devices set seen_at = seen_at - 31 * 24 * 3600 * cast(1000 as bigint)";
    site.sql(old, old).await;
    let doomed = server.maintenance.doomed(1000).await.expect("an answer");
    server.maintenance.forget(doomed).await.expect("forgotten");
    assert_eq!(site.number("select count(*) from events").await, 2);
}

async fn devices_are_bounded(site: Arc<Site>) {
    let server = site.server();
    let ann = site.user(&server, "acme", "ann").await;
    for number in 0..100 {
        let device = Device::parse(&format!("{number:032x}"));
        let position = Position { device, ..Position::default() };
        server.queue.events_behind(&ann, position, None).await.expect("events");
    }
    server.maintenance.doomed(1).await.expect("an answer");
    assert_eq!(site.number("select count(*) from devices").await, 64);
}

async fn results_that_are_still_to_be_fetched_are_bounded(site: Arc<Site>) {
    let server = site.server();
    let ann = site.user(&server, "acme", "ann").await;
    let files = limits::MAX_UNFETCHED as u32 + 10;
    let id = send(&server, &ann, &site.bundle(files)).await;
    for _ in 0..files.div_ceil(1024) {
        complete_all(&server, &lease(&server, "n", 1024).await).await;
    }
    let all: Vec<_> = (0..files).map(|index| (id.as_str(), index)).collect();
    let mut kept = 0;
    for some in all.chunks(limits::MAX_FETCHED) {
        let found = server.queue.fetch(&ann, Position::default(), &fetch(some, &[])).await.expect("an answer");
        kept += found.results.iter().filter(|one| one.as_ref().is_ok_and(|one| one.kept)).count();
        assert!(found.results.iter().all(Result::is_ok), "each is given all the same");
    }
    assert_eq!(kept, limits::MAX_UNFETCHED);
    let last = fetch(&all[all.len() - 1..], &all[..1]);
    let found = server.queue.fetch(&ann, Position::default(), &last).await.expect("an answer");
    assert!(found.results[0].as_ref().expect("it is there").kept, "there is room again");
    let many = vec![(id.as_str(), 0); limits::MAX_FETCHED + 1];
    for request in [fetch(&many, &[]), fetch(&[], &many)] {
        assert_eq!(code(server.queue.fetch(&ann, Position::default(), &request).await), ErrorCode::BadRequest);
    }
}

async fn what_a_node_told_a_database_that_was_lost_is_asked_for(site: Arc<Site>) {
    let server = site.server();
    let document = r#"{"version":"1.0.1"}"#;
    let sha256 = {
        use aws_lc_rs::digest::{SHA256, digest};
        data_encoding::HEXLOWER.encode(digest(&SHA256, document.as_bytes()).as_ref())
    };
    let told = Told {
        statement: Some(2),
        offers: 1,
        descriptions: vec![(release(), sha256), ("../x".to_owned(), "y".to_owned())],
    };
    let ask = |told: &Told| filemill_api::LeaseRequest { told: Some(told.clone()), ..wish("n", 1, 0, 20_000) };
    let lacking = server.queue.lease(POOL, ask(&told)).await.expect("an answer");
    assert_eq!((lacking.lacks, lacking.describe), (vec!["statement".to_owned(), "offers".to_owned()], vec![release()]));
    assert!(lacking.uploads.is_empty());

    server.catalog.describe_release(POOL, &release(), document).await.expect("described");
    let statement = format!(r#"{{"filemill_pool":1,"pool":"{POOL}","serial":2}}"#);
    server
        .catalog
        .publish_pool(POOL, &SignedStatement { statement, signature: "ab".repeat(64) })
        .await
        .expect("published");
    let (name, digest) = ("it".to_owned(), "e".repeat(64));
    let offer = Offer { name, digest, length: 9, contract: 1, minor: 0, description: "{}".to_owned(), stored: true };
    let offers = OfferRequest { node: "n".to_owned(), engines: vec![offer], stopping: false };
    server.catalog.offer_engines(POOL, POOL, &offers).await.expect("offered");
    let ann = site.user(&server, "acme", "ann").await;
    send(&server, &ann, &site.bundle(1)).await;
    let leased = server.queue.lease(POOL, ask(&told)).await.expect("an answer");
    assert_eq!((leased.lacks.len(), leased.describe.len(), runs(&leased).len()), (0, 0, 1));

    // A node that has told nothing is asked for nothing.
    let nothing = server.queue.lease(POOL, filemill_api::LeaseRequest { wait_ms: 0, ..ask(&Told::default()) });
    assert!(nothing.await.expect("an answer").lacks.is_empty());
}

async fn a_lease_of_an_upload_that_was_lost_completes_no_other(site: Arc<Site>) {
    let server = site.server();
    let ann = site.user(&server, "acme", "ann").await;
    send(&server, &ann, &site.bundle(1)).await;
    let before = only(&lease(&server, "n", 1).await);
    // The database goes back to when there was no upload, and gives the next one the same number.
    let sqlite = "delete from runs; delete from chunks; delete from uploads";
    let postgres = format!("{sqlite}; select setval(pg_get_serial_sequence('uploads', 'number'), 1, false)");
    site.sql(sqlite, &postgres).await;
    send(&server, &ann, &site.bundle(1)).await;
    let after = only(&lease(&server, "m", 1).await);
    assert_eq!(before.span, after.span, "this tests nothing");
    assert_eq!(code(super::site::complete(&server, &before, &[0]).await), ErrorCode::Fenced);
    assert!(results(&server, &ann).await.is_empty());
    super::site::complete(&server, &after, &[0]).await.expect("recorded");
}
