//! Answers that are not read.

use std::net::SocketAddr;
use std::time::Duration;

use filemill_api::{
    Base64, Complete, CompleteAnswer, CompleteRequest, ErrorCode, EventPage, FetchAnswer, FetchRequest, JobOutcome,
    Outcome, ResultKey, SealedBody, SpanKey, SpanResult, paths,
};
use filemill_server::Share;
use reqwest::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use super::super::{LIMIT, Mill, ok, one};
use super::{hasty, raw, report, user};

/// Gives alice 64 results of so many bytes each.
pub(super) async fn results(mill: &Mill, bytes: usize) {
    let mut sample = mill.upload(9);
    sample.open.files[0].count = 64;
    mill.send(&sample).await;
    let mut ask = super::super::lease_request(5_000);
    ask.max_jobs = 64;
    let leased: filemill_api::LeaseAnswer = mill.ask(&mill.processor, paths::LEASES, &ask).await;
    let run = one(one(leased.uploads).spans);
    let result = |job| SpanResult {
        jobs: vec![JobOutcome { job, outcome: Outcome::Succeeded }],
        sealed: Some(SealedBody::Inline(Base64(vec![7; bytes]))),
    };
    let lease = Complete {
        lease: SpanKey { span: run.span, fence: run.fence },
        results: run.jobs.iter().copied().map(result).collect(),
    };
    let request = CompleteRequest { node: "node-1".to_owned(), leases: vec![lease] };
    let answer: CompleteAnswer = mill.ask(&mill.processor, paths::RESULTS, &request).await;
    assert_eq!(one(answer.leases).into_result().unwrap().recorded, 64);
}

/// This process's resident memory, in MiB: the server runs in it.
fn resident_mib() -> usize {
    let pages: usize = std::fs::read_to_string("/proc/self/statm").unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    (pages * 4096) >> 20
}

/// Reads so many bytes a second until the end; how many came.
async fn read_slowly(stream: &mut TcpStream, bytes_per_s: usize) -> usize {
    let mut piece = vec![0; (bytes_per_s / 10).max(1)];
    let mut count = 0;
    while let Ok(read @ 1..) = stream.read(&mut piece).await {
        count += read;
        sleep(Duration::from_secs_f64(read as f64 / bytes_per_s as f64)).await;
    }
    count
}

async fn ask(address: SocketAddr, path: &str, token: &str) -> TcpStream {
    raw::send(address, &raw::head("GET", path, token, "connection: close\r\n")).await
}

#[tokio::test]
async fn a_slow_reader_gets_its_whole_answer_and_one_below_the_lowest_rate_does_not() {
    let mill = Mill::start_with(hasty).await;
    let address = mill.server.listening();
    let whole = mill.get(&mill.user, paths::OPENAPI).await.bytes().await.unwrap().len();
    assert!(whole > 40 << 10, "{whole} bytes are too few to tell");
    let mut slow = ask(address, paths::OPENAPI, &mill.user).await;
    let mut slower = ask(address, paths::OPENAPI, &mill.user).await;
    let mut silent = ask(address, paths::OPENAPI, &mill.user).await;
    let begin = Instant::now();
    let (slow, slower) = tokio::join!(read_slowly(&mut slow, 14 << 10), read_slowly(&mut slower, 1 << 10));
    assert!(slow >= whole, "{slow} of {whole} bytes");
    assert!(slower < whole, "{slower} bytes in {:?}", begin.elapsed());
    // It was cut long ago.
    let rest = timeout(LIMIT, read_slowly(&mut silent, 1 << 30)).await.unwrap();
    assert!(rest < whole, "{rest} bytes");
    mill.stop().await;
}

#[tokio::test]
async fn a_slow_reader_of_one_stream_gets_its_whole_answer_and_a_slower_one_loses_that_stream() {
    let mill = Mill::start_with(hasty).await;
    let mut two = raw::two(mill.server.listening(), 2048).await;
    let whole = mill.get(&mill.user, paths::OPENAPI).await.bytes().await.unwrap().len();
    let slow = two.get(paths::OPENAPI, &mill.user).await.into_body();
    let slower = two.get(paths::OPENAPI, &mill.user).await.into_body();
    let silent = two.get(paths::OPENAPI, &mill.user).await.into_body();
    let (slow, slower) = tokio::join!(raw::take(slow, 14 << 10), raw::take(slower, 1 << 10));
    assert_eq!(slow.unwrap().0, whole);
    assert!(slower.unwrap_err().is_reset());
    assert!(raw::take(silent, 1 << 30).await.unwrap_err().is_reset());
    assert_eq!(two.get(paths::WHOAMI, &mill.user).await.status(), StatusCode::OK);
    mill.stop().await;
}

/// With the bounds of production, in real time.
#[tokio::test]
async fn six_hundred_bytes_a_second_are_served_and_one_hundred_are_not() {
    let mill = Mill::start().await;
    results(&mill, 360).await;
    let address = mill.server.listening();
    let whole = mill.get(&mill.user, paths::EVENTS).await.bytes().await.unwrap().len();
    assert!((30_000..50_000).contains(&whole), "{whole}");
    let mut served = ask(address, paths::EVENTS, &mill.user).await;
    let mut slower = ask(address, paths::EVENTS, &mill.user).await;
    let mut silent = ask(address, paths::EVENTS, &mill.user).await;
    let begin = Instant::now();
    let silence = async {
        // Its system has taken some of it for it, which counts.
        sleep(Duration::from_secs(110)).await;
        read_slowly(&mut silent, 1 << 30).await
    };
    let slower = async {
        let count = timeout(Duration::from_secs(180), read_slowly(&mut slower, 100)).await.expect("it is served");
        (count, begin.elapsed())
    };
    let (served, (slower, took), silent) = tokio::join!(read_slowly(&mut served, 600), slower, silence);
    assert!(served > whole, "{served} of {whole} bytes");
    assert!(slower < whole, "{slower} bytes in {took:?}");
    assert!(silent < whole, "{silent} bytes");
    mill.stop().await;
}

#[tokio::test]
async fn a_slow_reader_whose_system_reads_ahead_gets_its_whole_answer() {
    let mill = Mill::start_with(hasty).await;
    results(&mill, 4 << 10).await;
    let whole = mill.get(&mill.user, paths::EVENTS).await.bytes().await.unwrap().len();
    assert!(whole > 300 << 10, "{whole} bytes are too few to tell");
    let head = raw::head("GET", paths::EVENTS, &mill.user, "connection: close\r\n");
    // Its system takes what it likes, and asks for more in large steps.
    let mut slow = TcpStream::connect(mill.server.listening()).await.unwrap();
    slow.write_all(head.as_bytes()).await.unwrap();
    let read = read_slowly(&mut slow, 10 << 10).await;
    assert!(read > whole, "{read} of {whole} bytes");
    mill.stop().await;
}

#[tokio::test]
async fn events_are_told_where_others_leave_no_room_for_a_whole_page() {
    let mill = Mill::start_with(|config| {
        config.bounds.answers = Share { caller: 4 << 20, group: 4 << 20, all: 4 << 20, always: 256 << 10 };
        config.bounds.room_wait = Duration::from_millis(300);
    })
    .await;
    results(&mill, 60 << 10).await;
    let (bob, eve) = (user(&mill, "acme", "bob").await, user(&mill, "other", "eve").await);
    let whole: EventPage = ok(mill.get(&mill.user, paths::EVENTS).await).await;
    let mut unread = vec![ask(mill.server.listening(), paths::EVENTS, &mill.user).await];
    let mut page = EventPage { events: Vec::new(), next: 0, reset: false };
    super::super::until("there is no room for a whole page", async || {
        page = ok(mill.get(&mill.user, paths::EVENTS).await).await;
        page.events.len() < whole.events.len()
    })
    .await;
    assert_eq!(page.events[..], whole.events[..page.events.len()], "and it is read on from there");
    for _ in 0..60 {
        unread.push(ask(mill.server.listening(), paths::EVENTS, &mill.user).await);
    }
    for token in [&bob, &eve] {
        for path in [paths::EVENTS, paths::RELEASES, paths::POOLS, paths::UPLOADS] {
            assert_eq!(mill.get(token, path).await.status(), StatusCode::OK, "{path}");
        }
    }
    mill.stop().await;
}

#[tokio::test]
async fn results_that_are_asked_for_again_come_as_far_as_there_is_room() {
    let mill = Mill::start_with(|config| {
        config.bounds.answers = Share { caller: 1 << 20, group: 1 << 20, all: 1 << 20, always: 256 << 10 };
    })
    .await;
    results(&mill, 60 << 10).await;
    let want = (0..64).map(|job| ResultKey { upload: mill.upload(9).open.id, job }).collect();
    let request = FetchRequest { want, ..FetchRequest::default() };
    let answer: FetchAnswer = mill.ask(&mill.user, paths::FETCH, &request).await;
    let (given, later): (Vec<_>, Vec<_>) =
        answer.results.into_iter().map(filemill_api::Item::into_result).partition(Result::is_ok);
    assert_eq!((given.len(), later.len()), (6, 58));
    assert!(later.iter().all(|item| item.as_ref().unwrap_err().code == ErrorCode::Unavailable));
    mill.stop().await;
}

#[tokio::test]
async fn who_sends_a_large_body_does_not_wait_for_room_for_an_answer() {
    let mill = Mill::start_with(|config| {
        config.bounds.answers = Share { caller: 3 << 20, group: 3 << 20, all: 3 << 20, always: 2 << 20 };
        config.bounds.room_wait = Duration::from_secs(5);
    })
    .await;
    results(&mill, 60 << 10).await;
    let unread = ask(mill.server.listening(), paths::EVENTS, &mill.user).await;
    super::super::until("there is no more room", async || {
        mill.get(&mill.user, paths::EVENTS).await.status() == StatusCode::SERVICE_UNAVAILABLE
    })
    .await;
    // Its body holds a turn that others wait for.
    let upload = mill.upload(9).open.id;
    let want: Vec<_> = (0..64).map(|index| serde_json::json!({"upload": upload, "job": index})).collect();
    let request = serde_json::json!({"after": 0, "want": want, "fetched": [], "unknown": "x".repeat(100 << 10)});
    let begin = Instant::now();
    let refused = mill.post(&mill.user, paths::FETCH, &request).await;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(begin.elapsed() < Duration::from_secs(2), "it waited for {:?}", begin.elapsed());
    drop(unread);
    super::super::until("there is room again", async || {
        mill.post(&mill.user, paths::FETCH, &request).await.status() == StatusCode::OK
    })
    .await;
    mill.stop().await;
}

#[tokio::test]
async fn pages_that_nobody_reads_do_not_fill_the_memory() {
    let mill = Mill::start_with(|config| config.bounds.room_wait = Duration::from_millis(500)).await;
    results(&mill, 60 << 10).await;
    let page: EventPage = ok(mill.get(&mill.user, paths::EVENTS).await).await;
    assert!(page.events.len() < 40, "a page is bounded by its bytes: {}", page.events.len());
    let before = resident_mib();
    let mut unread = Vec::new();
    for place in 0..200 {
        let path = if place % 2 == 0 { paths::EVENTS } else { paths::EVENT_STREAM };
        unread.push(ask(mill.server.listening(), path, &mill.user).await);
    }
    let mut two = raw::two(mill.server.listening(), 0).await;
    for _ in 0..50 {
        unread_two(&mut two, &mill).await;
    }
    // Others are served meanwhile, and the pool reports.
    let eve = user(&mill, "other", "eve").await;
    for _ in 0..20 {
        let page = timeout(LIMIT, mill.get(&eve, paths::EVENTS)).await.expect("others wait");
        assert_eq!(page.status(), StatusCode::OK);
        let reported = timeout(LIMIT, mill.post(&mill.processor, paths::LEASE_REPORT, &report())).await.unwrap();
        assert_eq!(reported.status(), StatusCode::OK);
    }
    sleep(Duration::from_secs(2)).await;
    let grown = resident_mib().saturating_sub(before);
    assert!(grown < 64, "{grown} MiB for answers that nobody reads");
    mill.stop().await;
}

async fn unread_two(two: &mut raw::Two, mill: &Mill) {
    let (answer, _) = two.begin("GET", paths::EVENTS, &mill.user, true).await;
    std::mem::forget(answer);
}

#[tokio::test]
async fn who_does_not_read_is_told_to_and_others_are_not() {
    let mill = Mill::start_with(|config| {
        config.bounds.answers = Share { caller: 4 << 20, group: 6 << 20, all: 8 << 20, always: 64 << 10 };
        config.bounds.room_wait = Duration::from_millis(200);
    })
    .await;
    results(&mill, 60 << 10).await;
    let mut unread = Vec::new();
    for _ in 0..60 {
        unread.push(ask(mill.server.listening(), paths::EVENTS, &mill.user).await);
    }
    super::super::until("there is no more room", async || {
        mill.get(&mill.user, paths::EVENTS).await.status() == StatusCode::SERVICE_UNAVAILABLE
    })
    .await;
    let eve = user(&mill, "other", "eve").await;
    assert_eq!(mill.get(&eve, paths::EVENTS).await.status(), StatusCode::OK);
    drop(unread);
    super::super::until("there is room again", async || {
        mill.get(&mill.user, paths::EVENTS).await.status() == StatusCode::OK
    })
    .await;
    mill.stop().await;
}
