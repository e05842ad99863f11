//! What an operator's commands that only look leave as it is: everything. The program itself is run, on either database.

use std::process::Command;
use std::sync::Arc;

use filemill_api::UploadState;
use filemill_server::Listing;

use super::on_both;
use super::site::{Kind, Site, open_one};

on_both! {
    a_look_cancels_no_abandoned_upload,
    a_look_at_an_older_database_leaves_it_and_says_so,
    a_look_at_a_newer_database_leaves_it_and_says_so,
    a_look_leaves_the_log_of_a_database_that_was_not_closed,
}

/// Every command that only looks.
const LOOKS: [[&str; 2]; 4] = [["token", "list"], ["pool", "list"], ["release", "list"], ["join-code", "list"]];

/// Runs each of them on the site's database; answers what they wrote, and whether all succeeded.
async fn look(site: &Site) -> (String, bool) {
    let (mut said, mut succeeded) = (String::new(), true);
    for arguments in LOOKS {
        let mut command = Command::new(env!("CARGO_BIN_EXE_filemill-server"));
        command.env_remove("FILEMILL_DATABASE_URL").args(arguments);
        command.args(["--database-url", &site.url()]);
        let output = tokio::task::spawn_blocking(move || command.output()).await.expect("joined").expect("it runs");
        succeeded &= output.status.success();
        said.push_str(&String::from_utf8_lossy(&output.stdout));
        said.push_str(&String::from_utf8_lossy(&output.stderr));
    }
    (said, succeeded)
}

async fn a_look_cancels_no_abandoned_upload(site: Arc<Site>) {
    let server = site.server();
    let ann = site.user(&server, "acme", "ann").await;
    let upload = site.large(2);
    open_one(&server, &ann, &upload).await.expect("opened");
    site.stop_servers().await;
    let old = "update uploads set touched_at = 0";
    site.sql(old, old).await;
    let (said, succeeded) = look(&site).await;
    assert!(succeeded && said.contains("\tann\t"), "{said}");
    assert_eq!(site.number("select count(*) from uploads where cancelled or finished_at is not null").await, 0);
    // A server does cancel it.
    let server = site.server();
    super::site::eventually("it is cancelled", || async {
        let state = server.queue.jobs(&ann, &upload.id).await.expect("jobs").upload.state;
        (state == UploadState::Cancelled).then_some(())
    })
    .await;
}

async fn a_look_at_an_older_database_leaves_it_and_says_so(site: Arc<Site>) {
    site.stop_servers().await;
    let older = "drop table join_codes; drop table defaults; drop table need_sets; drop table upload_tasks; drop table devices;
        alter table nodes drop column abilities; alter table uploads drop column tasks; alter table uploads drop column listed;
        alter table events drop column jobs; drop table schema_needs; drop table _filemill_migrations;
        delete from _sqlx_migrations where version >= 8";
    site.sql(older, older).await;
    let before = site.number("select count(*) from _sqlx_migrations").await;
    let (said, succeeded) = look(&site).await;
    assert!(!succeeded && said.matches("is older than this program").count() == LOOKS.len(), "{said}");
    assert!(said.contains("hint: "), "{said}");
    assert_eq!(site.number("select count(*) from _sqlx_migrations").await, before, "nothing was migrated");
    site.open_again().await.expect("a server migrates it").close().await;
    let (said, succeeded) = look(&site).await;
    assert!(succeeded, "{said}");
}

async fn a_look_at_a_newer_database_leaves_it_and_says_so(site: Arc<Site>) {
    site.stop_servers().await;
    // One that only adds to the tables.
    let added = "update _filemill_migrations set version = 99 where version = 14; insert into _filemill_migrations \
                 select 14, description, installed_on, success, checksum, execution_time from _filemill_migrations where version = 99";
    site.sql(added, added).await;
    Listing::open(&site.options()).await.expect("what was added is in nobody's way");
    for newer in
        ["update schema_needs set migration = 99", "update _sqlx_migrations set version = 99 where version = 1"]
    {
        site.sql(newer, newer).await;
        let error = Listing::open(&site.options()).await.err().expect("another version's");
        let hint = error.hint().expect("what to do");
        assert!(hint.contains("a later release"), "{newer}: {hint}");
    }
}

/// A server sees by its log that a process ended without closing an SQLite database, and that events may be lost.
async fn a_look_leaves_the_log_of_a_database_that_was_not_closed(site: Arc<Site>) {
    if site.kind() == Kind::Postgres {
        return;
    }
    // A process that never ends as far as the files tell: its copy is what a power cut leaves.
    let server = site.server();
    site.user(&server, "acme", "ann").await;
    let left = tempfile::tempdir().expect("a folder");
    let copy = left.path().join("db");
    for ending in ["", "-wal"] {
        let file = format!("{}{ending}", site.path().expect("a file").display());
        std::fs::copy(file, format!("{}{ending}", copy.display())).expect("copied");
    }
    let log = || std::fs::metadata(format!("{}-wal", copy.display())).expect("the log is there").len();
    let before = log();
    assert!(before > 0);
    let options = filemill_server::store::StoreOptions::sqlite(&copy);
    let listing = Listing::open(&options).await.expect("opened");
    assert_eq!(listing.tokens().await.expect("tokens").len(), 1, "what is in the log only is read, too");
    listing.close().await;
    assert_eq!(log(), before);
}
