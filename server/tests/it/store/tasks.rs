//! Needs and abilities by name, several tasks over the same files, and results in batches.

use std::sync::Arc;

use filemill_api::abilities::{HEADER_2, backend, contract};
use filemill_api::{
    Base64, Complete, CompleteRequest, Completed, ErrorBody, ErrorCode, FetchRequest, JobOutcome, LeaseRequest,
    LeasedSpan, OpenTask, OpenUpload, Outcome, ResultKey, ResultUrlRequest, SealedBody, SpanResult, UploadState,
    WaitReason, WantResult,
};
use filemill_server::accounts::Caller;
use filemill_server::catalog::NewRelease;
use filemill_server::queue::{Leased, Position, RecordedKind, RecordedResult};
use filemill_server::{Domains, DomainsConfig};

use super::site::{
    POOL, Site, abilities, code, complete, complete_all, events, key, lease_now, only, open_one, release, results,
    runs, send, single, task, wish,
};

super::on_both!(
    a_release_of_a_later_minor_goes_to_nodes_that_run_it,
    a_release_goes_to_nodes_that_have_all_that_it_needs,
    the_minor_of_a_release_may_be_said_anew_and_no_other_need,
    each_task_is_run_over_the_same_files,
    any_release_of_a_task_may_run,
    where_there_are_many_alternatives_one_that_a_node_runs_decides,
    a_batch_is_of_a_header_that_has_batches,
    an_upload_with_tasks_is_opened_again_only_as_the_same,
    tasks_that_make_no_sense_are_refused,
    a_batch_is_one_event_and_counts_each_of_its_jobs,
    a_batch_is_recorded_as_a_whole_or_not_at_all,
    any_job_of_a_batch_finds_it_again,
    a_large_batch_is_an_object_under_its_first_job,
    a_server_that_knows_no_names_reads_what_a_node_has,
);

/// Publishes a release of the contract that needs these names.
async fn publish(server: &Domains, number: u64, minor: u32, needs: &[&str]) -> String {
    let release = NewRelease {
        engine: format!("engine-{number}"),
        version: "1.0.0".to_owned(),
        digest: format!("{number:064x}"),
        contract: 1,
        minor,
        needs: needs.iter().map(|&name| name.to_owned()).collect(),
        length: 100,
    };
    server.catalog.add_release(&release).await.expect("a release");
    server.catalog.describe_release(POOL, &release.digest, r#"{"version":"1.0.0"}"#).await.expect("described");
    release.digest
}

/// What can be leased at once by a node that has these, one of its own for each.
async fn lease_with(server: &Domains, names: &[String]) -> Leased {
    let node = names.join("-").replace(':', ".");
    let request = LeaseRequest { abilities: names.to_vec(), ..wish(&node[..node.len().min(64)], 64, 64, 0) };
    server.queue.lease(POOL, request).await.expect("leased")
}

/// What reads headers of format 2.
fn newest() -> Vec<String> {
    abilities(&[(1, 0)]).into_iter().chain([HEADER_2.to_owned()]).collect()
}

async fn reason(server: &Domains, caller: &Caller, upload: &str) -> WaitReason {
    server.queue.jobs(caller, upload).await.expect("jobs").waiting.remove(0).reason
}

fn batch(jobs: &[(u32, Outcome)], sealed: &[u8]) -> SpanResult {
    SpanResult {
        jobs: jobs.iter().map(|&(job, outcome)| JobOutcome { job, outcome }).collect(),
        sealed: Some(SealedBody::Inline(Base64(sealed.to_vec()))),
    }
}

async fn record(server: &Domains, span: &LeasedSpan, results: Vec<SpanResult>) -> Result<Completed, ErrorBody> {
    let request = CompleteRequest { node: "n".to_owned(), leases: vec![Complete { lease: key(span), results }] };
    server.queue.complete(POOL, request).await?.leases.remove(0).into_result()
}

async fn a_release_of_a_later_minor_goes_to_nodes_that_run_it(site: Arc<Site>) {
    let server = site.server();
    let ann = site.user(&server, "acme", "ann").await;
    let newer = publish(&server, 7, 1, &[]).await;
    let upload = OpenUpload { tasks: vec![task(&[&newer])], ..site.bundle(1) };
    let id = send(&server, &ann, &upload).await;
    assert!(lease_with(&server, &abilities(&[(1, 0)])).await.uploads.is_empty(), "it would have to hand it back");
    assert_eq!(reason(&server, &ann, &id).await, WaitReason::NoProcessor { lacks: vec!["contract:1.1".to_owned()] });
    let span = only(&lease_with(&server, &abilities(&[(1, 0), (1, 1)])).await);
    assert_eq!(span.release, newer);
    // Another server, which did not number the needs, gives it just so.
    let other = site.server();
    send(&other, &ann, &OpenUpload { tasks: vec![task(&[&newer])], ..site.bundle(1) }).await;
    let third = site.server();
    assert_eq!(runs(&lease_with(&third, &abilities(&[(1, 0), (1, 1)])).await).len(), 1);
}

async fn a_release_goes_to_nodes_that_have_all_that_it_needs(site: Arc<Site>) {
    let server = site.server();
    let ann = site.user(&server, "acme", "ann").await;
    let release = publish(&server, 7, 0, &["gpu", "licence:x"]).await;
    let upload = OpenUpload { tasks: vec![task(&[&release])], ..site.bundle(1) };
    let id = send(&server, &ann, &upload).await;
    let with = |names: &[&str]| {
        let more = names.iter().map(|&name| name.to_owned());
        abilities(&[(1, 0)]).into_iter().chain(more).collect::<Vec<_>>()
    };
    assert!(lease_with(&server, &with(&["gpu"])).await.uploads.is_empty());
    assert_eq!(reason(&server, &ann, &id).await, WaitReason::NoProcessor { lacks: vec!["licence:x".to_owned()] });
    assert!(lease_with(&server, &with(&["licence:x"])).await.uploads.is_empty());
    let nobody = WaitReason::NoProcessor { lacks: Vec::new() };
    assert_eq!(reason(&server, &ann, &id).await, nobody, "each has one of them, and none has both");
    only(&lease_with(&server, &with(&["gpu", "licence:x", "more"])).await);
    // A name that nobody can have.
    let bad = NewRelease {
        engine: "bad".to_owned(),
        version: "1".to_owned(),
        digest: "e".repeat(64),
        contract: 1,
        minor: 0,
        needs: vec!["G P U".to_owned()],
        length: 1,
    };
    assert_eq!(code(server.catalog.add_release(&bad).await), ErrorCode::BadRequest);
    let odd = LeaseRequest { abilities: vec!["G P U".to_owned()], ..wish("n", 1, 0, 0) };
    assert_eq!(code(server.queue.lease(POOL, odd).await), ErrorCode::BadRequest);
}

async fn the_minor_of_a_release_may_be_said_anew_and_no_other_need(site: Arc<Site>) {
    let server = site.server();
    let ann = site.user(&server, "acme", "ann").await;
    let old = publish(&server, 7, 0, &[]).await;
    let said = |minor, needs: &[&str]| NewRelease {
        engine: "engine-7".to_owned(),
        version: "1.0.0".to_owned(),
        digest: old.clone(),
        contract: 1,
        minor,
        needs: needs.iter().map(|&name| name.to_owned()).collect(),
        length: 100,
    };
    assert_eq!(code(server.catalog.add_release(&said(0, &["gpu"])).await), ErrorCode::Conflict);
    assert_eq!(code(server.catalog.add_release(&said(1, &["gpu"])).await), ErrorCode::Conflict);
    let upload = || OpenUpload { tasks: vec![task(&[&old])], ..site.bundle(1) };
    send(&server, &ann, &upload()).await;
    only(&lease_with(&server, &abilities(&[(1, 0)])).await);
    assert!(!server.catalog.add_release(&said(1, &[])).await.expect("the same, said anew"));
    send(&server, &ann, &upload()).await;
    assert!(lease_with(&server, &abilities(&[(1, 0)])).await.uploads.is_empty(), "it needs 1.1 now");
    only(&lease_with(&server, &abilities(&[(1, 0), (1, 1)])).await);
    assert_eq!(code(server.catalog.add_release(&said(0, &[])).await), ErrorCode::Conflict);
}

async fn each_task_is_run_over_the_same_files(site: Arc<Site>) {
    let server = site.server();
    let ann = site.user(&server, "acme", "ann").await;
    let other = publish(&server, 7, 0, &[]).await;
    let tasks = vec![task(&[&release()]), task(&[&other])];
    let id = send(&server, &ann, &OpenUpload { format: 2, tasks, ..site.bundle(100) }).await;
    assert!(lease_with(&server, &abilities(&[(1, 0)])).await.uploads.is_empty(), "it does not read such a header");
    let mut of_task = [0; 2];
    let mut leased = lease_with(&server, &newest()).await;
    while !leased.uploads.is_empty() {
        for span in runs(&leased) {
            let tasks: Vec<_> = span.jobs.iter().map(|job| job / 100).collect();
            assert!(tasks.iter().all(|task| *task == tasks[0]), "a span is of one task: {:?}", span.jobs);
            assert_eq!(span.release, [release(), other.clone()][tasks[0] as usize]);
            of_task[tasks[0] as usize] += span.jobs.len();
        }
        let state = server.queue.jobs(&ann, &id).await.expect("jobs").upload;
        assert_eq!((state.files, state.tasks), (100, 2));
        complete_all(&server, &leased).await;
        leased = lease_with(&server, &newest()).await;
    }
    assert_eq!(of_task, [100, 100]);
    let state = server.queue.jobs(&ann, &id).await.expect("jobs").upload;
    assert_eq!((state.state, state.done), (UploadState::Done, 200));
    let told: Vec<_> = results(&server, &ann).await.into_iter().map(|(job, _)| job).collect();
    assert_eq!(told, (0..200).collect::<Vec<_>>(), "each job once");
}

async fn any_release_of_a_task_may_run(site: Arc<Site>) {
    let server = site.server();
    let ann = site.user(&server, "acme", "ann").await;
    let newer = publish(&server, 7, 1, &[]).await;
    let upload = || OpenUpload { tasks: vec![task(&[&newer, &release()])], ..site.bundle(1) };
    send(&server, &ann, &upload()).await;
    assert_eq!(only(&lease_with(&server, &abilities(&[(1, 0)])).await).release, release());
    send(&server, &ann, &upload()).await;
    assert_eq!(only(&lease_with(&server, &abilities(&[(1, 0), (1, 1)])).await).release, newer, "the first that it can");
}

async fn where_there_are_many_alternatives_one_that_a_node_runs_decides(site: Arc<Site>) {
    let with = |names: &str| {
        format!(
            "with recursive numbers (n) as (select 1 union all select n + 1 from numbers where n < 600)
             insert into need_sets (id, names) select 1000000 + n * 64, {names} from numbers"
        )
    };
    // What nodes of any pool may bring has names, too, and takes nobody's place.
    let brought = with("'backend:component contract:29.' || n");
    site.sql(&brought, &brought).await;
    let server = site.other_server(DomainsConfig::default()).await;
    let ann = site.user(&server, "acme", "ann").await;
    let picky = publish(&server, 7, 0, &["gpu"]).await;
    let upload = || OpenUpload { tasks: vec![task(&[&picky, &release()])], ..site.bundle(1) };
    let alternatives = "select count(*) from need_sets where names like '%|%'";
    send(&server, &ann, &upload()).await;
    assert_eq!(site.number(alternatives).await, 1);
    assert_eq!(only(&lease_with(&server, &abilities(&[(1, 0)])).await).release, release());
    let many = with("'a:' || n || '|b'").replace("1000000", "2000000");
    site.sql(&many, &many).await;
    let server = site.other_server(DomainsConfig::default()).await;
    let another = publish(&server, 8, 0, &["fpga"]).await;
    let upload = || OpenUpload { tasks: vec![task(&[&another, &release()])], ..site.bundle(1) };
    send(&server, &ann, &upload()).await;
    assert_eq!(site.number(alternatives).await, 601, "none more");
    assert_eq!(only(&lease_with(&server, &abilities(&[(1, 0)])).await).release, release());
}

async fn a_batch_is_of_a_header_that_has_batches(site: Arc<Site>) {
    let server = site.server();
    let ann = site.user(&server, "acme", "ann").await;
    send(&server, &ann, &site.bundle(2)).await;
    let span = only(&lease_with(&server, &newest()).await);
    let both = batch(&[(0, Outcome::Succeeded), (1, Outcome::Succeeded)], b"both");
    assert_eq!(code(record(&server, &span, vec![both]).await), ErrorCode::BadRequest);
    assert!(results(&server, &ann).await.is_empty());
    complete(&server, &span, &[0, 1]).await.expect("one by one");
}

async fn an_upload_with_tasks_is_opened_again_only_as_the_same(site: Arc<Site>) {
    let server = site.server();
    let ann = site.user(&server, "acme", "ann").await;
    let other = publish(&server, 7, 0, &[]).await;
    let upload = OpenUpload { format: 2, tasks: vec![task(&[&release()]), task(&[&other])], ..site.bundle(3) };
    let first = open_one(&server, &ann, &upload).await.expect("opened");
    assert_eq!(open_one(&server, &ann, &upload).await.expect("opened again"), first);
    for tasks in [
        vec![task(&[&release()])],
        vec![task(&[&other]), task(&[&release()])],
        vec![task(&[&release()]), task(&[&other, &release()])],
    ] {
        let changed = OpenUpload { tasks, ..upload.clone() };
        assert_eq!(code(open_one(&server, &ann, &changed).await), ErrorCode::Conflict);
    }
    // Of one task the format alone is another header.
    let plain = site.bundle(1);
    open_one(&server, &ann, &plain).await.expect("opened");
    assert_eq!(code(open_one(&server, &ann, &OpenUpload { format: 2, ..plain }).await), ErrorCode::Conflict);
}

async fn tasks_that_make_no_sense_are_refused(site: Arc<Site>) {
    let server = site.server();
    let ann = site.user(&server, "acme", "ann").await;
    let refused = async |change: &dyn Fn(&mut OpenUpload)| {
        let mut upload = OpenUpload { format: 2, ..site.bundle(1) };
        change(&mut upload);
        let refused = open_one(&server, &ann, &upload).await.expect_err("it makes no sense");
        (refused.code, refused.message)
    };
    let bad = |message: &str| (ErrorCode::BadRequest, message.to_owned());
    assert_eq!(refused(&|upload| upload.tasks.clear()).await, bad("tasks is empty: an upload has at least one task"));
    assert_eq!(refused(&|upload| upload.tasks[0].releases.clear()).await, bad("tasks[0] names no release"));
    let twice = refused(&|upload| upload.tasks[0].releases.push(release())).await;
    assert_eq!(twice, bad(&format!("tasks[0] names release `{}` twice, again at 1", release())));
    assert_eq!(refused(&|upload| upload.tasks = vec![task(&[&release()]); 17]).await.0, ErrorCode::BadRequest);
    let many: Vec<_> = (0..17).map(|number| format!("{number:064x}")).collect();
    let many = OpenTask { releases: many, needs: Vec::new() };
    assert_eq!(refused(&|upload| upload.tasks = vec![many.clone()]).await.0, ErrorCode::BadRequest);
    assert_eq!(refused(&|upload| upload.format = 3).await, bad("format is 3, it has to be 1 or 2"));
    let of_one = refused(&|upload| (upload.format, upload.tasks) = (1, vec![task(&[&release()]); 2])).await;
    assert_eq!(of_one, bad("a header of format 1 has one task, not 2"));
    let needs = refused(&|upload| upload.tasks[0].needs.push("gpu".to_owned())).await;
    assert_eq!(needs, bad("tasks[0] needs `gpu`, which no upload may"));
    let jobs = refused(&|upload| {
        upload.files[0].count = 40_000;
        upload.tasks.push(task(&[&release()]));
    });
    assert_eq!(jobs.await, bad("40000 files and 2 tasks make more than 65536 jobs"));
    assert_eq!(refused(&|upload| upload.tasks[0].releases[0] = "7".repeat(64)).await.0, ErrorCode::NotFound);
}

async fn a_batch_is_one_event_and_counts_each_of_its_jobs(site: Arc<Site>) {
    let server = site.server();
    let ann = site.user(&server, "acme", "ann").await;
    let id = send(&server, &ann, &OpenUpload { format: 2, ..site.bundle(5) }).await;
    let span = only(&lease_with(&server, &newest()).await);
    let some = batch(&[(0, Outcome::Succeeded), (1, Outcome::Failed), (4, Outcome::Succeeded)], b"three");
    let done = record(&server, &span, vec![some.clone()]).await.expect("recorded");
    assert_eq!(done, Completed { recorded: 3, ended: false });
    assert_eq!(record(&server, &span, vec![some.clone()]).await, Ok(done), "it is recorded already");
    let rest = batch(&[(2, Outcome::Void), (3, Outcome::Succeeded)], b"two");
    let done = record(&server, &span, vec![rest.clone()]).await.expect("recorded");
    assert_eq!(done, Completed { recorded: 2, ended: true });
    assert_eq!(record(&server, &span, vec![some.clone(), rest.clone()]).await.map(|done| done.recorded), Ok(5));
    let told: Vec<_> = events(&server, &ann).await.into_iter().map(|event| event.kind).collect();
    let kind = |result: SpanResult| {
        let Some(SealedBody::Inline(body)) = result.sealed else { unreachable!() };
        RecordedKind::Results { jobs: result.jobs, sealed: Some(RecordedResult::Inline(body.0)) }
    };
    assert_eq!(told, [kind(some), kind(rest)]);
    let state = server.queue.jobs(&ann, &id).await.expect("jobs").upload;
    assert_eq!((state.state, state.done), (UploadState::Done, 5));
}

async fn a_batch_is_recorded_as_a_whole_or_not_at_all(site: Arc<Site>) {
    let server = site.server();
    let ann = site.user(&server, "acme", "ann").await;
    send(&server, &ann, &OpenUpload { format: 2, ..site.bundle(4) }).await;
    let span = only(&lease_with(&server, &newest()).await);
    let two = |first, second| batch(&[(first, Outcome::Succeeded), (second, Outcome::Succeeded)], b"both");
    record(&server, &span, vec![two(0, 1)]).await.expect("recorded");
    // One of its jobs has a result already, and of another batch.
    assert_eq!(code(record(&server, &span, vec![two(1, 2)]).await), ErrorCode::Fenced);
    assert_eq!(code(record(&server, &span, vec![single(0, Outcome::Succeeded, None)]).await), ErrorCode::Fenced);
    assert_eq!(code(complete(&server, &span, &[1]).await), ErrorCode::Fenced);
    assert_eq!(results(&server, &ann).await.len(), 2, "nothing of it was recorded");
    // Nor does one under a fence of before.
    let stale = LeasedSpan { fence: span.fence - 1, ..span.clone() };
    assert_eq!(code(record(&server, &stale, vec![two(2, 3)]).await), ErrorCode::Fenced);
    record(&server, &span, vec![two(2, 3)]).await.expect("recorded");
    assert_eq!(results(&server, &ann).await.len(), 4);
}

async fn any_job_of_a_batch_finds_it_again(site: Arc<Site>) {
    let server = site.server();
    let (ann, bob) = (site.user(&server, "acme", "ann").await, site.user(&server, "acme", "bob").await);
    let id = send(&server, &ann, &OpenUpload { format: 2, ..site.bundle(6) }).await;
    let span = only(&lease_with(&server, &newest()).await);
    let odd = batch(&[(1, Outcome::Succeeded), (3, Outcome::Failed), (5, Outcome::Succeeded)], b"odd");
    let even = batch(&[(0, Outcome::Succeeded), (2, Outcome::Succeeded)], b"even");
    record(&server, &span, vec![odd.clone(), even.clone()]).await.expect("recorded");
    let wanted = |jobs: &[u32]| jobs.iter().map(|&job| ResultKey { upload: id.clone(), job }).collect::<Vec<_>>();
    let want = FetchRequest { want: wanted(&[3, 2, 0, 4, 5]), ..FetchRequest::default() };
    let found = server.queue.fetch(&ann, Position::default(), &want).await.expect("an answer").results;
    let found: Vec<_> = found.into_iter().map(|found| found.map(|found| (found.jobs, found.kept)).ok()).collect();
    let (odd, even) = (Some((odd.jobs, true)), Some((even.jobs, true)));
    assert_eq!(found, [odd.clone(), even.clone(), even, None, odd], "4 has no result yet");
    assert_eq!(site.number("select count(*) from unfetched").await, 2, "each batch is kept once");
    let fetched = FetchRequest { fetched: wanted(&[5, 0]), ..FetchRequest::default() };
    server.queue.fetch(&ann, Position::default(), &fetched).await.expect("an answer");
    assert_eq!(site.number("select count(*) from unfetched").await, 0);
    let theirs = server.queue.fetch(&bob, Position::default(), &want).await.expect("an answer").results;
    assert!(theirs.iter().all(Result::is_err), "they are ann's");
}

async fn a_large_batch_is_an_object_under_its_first_job(site: Arc<Site>) {
    let server = site.server();
    let ann = site.user(&server, "acme", "ann").await;
    let id = send(&server, &ann, &OpenUpload { format: 2, ..site.bundle(3) }).await;
    let span = only(&lease_with(&server, &newest()).await);
    let sha256 = "c".repeat(64);
    let want = WantResult { lease: key(&span), job: 1, length: 100_000, sha256: sha256.clone() };
    let request = ResultUrlRequest { results: vec![want] };
    let object = server.queue.result_urls(POOL, request).await.expect("answers").remove(0).expect("a place");
    assert_eq!(object.key.to_string(), format!("results/{id}/1/{}/{sha256}", span.fence));
    let mut large = batch(&[(1, Outcome::Succeeded), (2, Outcome::Succeeded)], b"");
    large.sealed = Some(SealedBody::Object { length: 100_000, sha256 });
    record(&server, &span, vec![large]).await.expect("recorded");
    let kind = events(&server, &ann).await.remove(0).kind;
    assert!(matches!(kind, RecordedKind::Results { sealed: Some(RecordedResult::Object(told)), .. } if told == object));
}

/// A server of release 0.1.0 on the same database reads bits, and writes no names.
async fn a_server_that_knows_no_names_reads_what_a_node_has(site: Arc<Site>) {
    let server = site.server();
    let ann = site.user(&server, "acme", "ann").await;
    let names: Vec<_> = [contract(1, 0), contract(1, 1), contract(2, 0), backend("component")].into();
    lease_with(&server, &names).await;
    assert_eq!(site.number("select runs from nodes").await, 0b110);
    // What such a server writes.
    let old = "insert into nodes (pool, id, runs, seen_at) select pool, 'old', 2, seen_at from nodes;
        delete from nodes where id <> 'old'";
    site.sql(old, old).await;
    let upload = send(&server, &ann, &site.bundle(1)).await;
    assert_eq!(reason(&server, &ann, &upload).await, WaitReason::Turn);
    let newer = publish(&server, 7, 1, &[]).await;
    let upload = OpenUpload { tasks: vec![task(&[&newer])], ..site.bundle(1) };
    let id = send(&server, &ann, &upload).await;
    assert_eq!(reason(&server, &ann, &id).await, WaitReason::NoProcessor { lacks: vec!["contract:1.1".to_owned()] });
    // What it takes for a bit of a node's is none: it gives no such run.
    let needs = site.number("select max(needs) from releases").await;
    assert_eq!((needs > 62, needs % 64), (true, 0));
    drop(lease_now(&server, "n", 0, 0).await);
}
