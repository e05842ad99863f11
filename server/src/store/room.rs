//! A database without room: what the store says of it, and how the connection that met it goes on.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Between two times that it is said.
const SAID_EVERY: Duration = Duration::from_secs(60);

/// Says that there is no room: once in a while rather than for each request, and there may be room for one and not for another.
#[derive(Clone, Debug)]
pub(super) struct Room {
    place: Arc<str>,
    said: Arc<Mutex<Option<Instant>>>,
}

impl Room {
    pub(super) fn of(place: &str) -> Self {
        Self { place: place.into(), said: Arc::default() }
    }

    /// Takes note of what a statement failed of.
    pub(super) fn note(&self, error: &sqlx::Error) {
        if is_full(error) && self.is_to_be_said(Instant::now()) {
            tracing::error!(
                "no room left for the database `{}`; nothing is taken in until there is some (hint: make room on its disk; the \
                 server goes on by itself)",
                self.place
            );
        }
    }

    fn is_to_be_said(&self, now: Instant) -> bool {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let due = said.is_none_or(|said| now.duration_since(said) >= SAID_EVERY);
        if due {
            *said = Some(now);
        }
        due
    }
}

/// Whether it failed because the disk, or its user's share of it, is full.
pub(super) fn is_full(error: &sqlx::Error) -> bool {
    // SQLite: SQLITE_FULL, SQLITE_IOERR_SHMSIZE (the index of its log cannot grow). PostgreSQL: disk_full.
    matches!(error, sqlx::Error::Database(error) if matches!(error.code().as_deref(), Some("13" | "4874" | "53100")))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::{Connection, Pools, Store, StoreOptions};
    use super::*;

    #[test]
    fn it_is_said_once_in_a_while_and_not_for_each_request() {
        let (room, now) = (Room::of("sqlite:db"), Instant::now());
        assert!(room.is_to_be_said(now));
        assert!(!room.clone().is_to_be_said(now + SAID_EVERY / 2), "all of a store's connections have met the same");
        assert!(room.is_to_be_said(now + SAID_EVERY));
    }

    async fn limit(store: &Store, pragma: &'static str) {
        let Pools::Sqlite { writer, .. } = &store.pools else { unreachable!("it is SQLite") };
        sqlx::raw_sql(pragma).execute(writer).await.expect("a limit");
    }

    /// As on a full disk: the next page that the database needs is refused.
    pub(crate) async fn fill(store: &Store) {
        // Counts as the size that it has.
        limit(store, "pragma max_page_count = 1").await;
    }

    pub(crate) async fn make_room(store: &Store) {
        limit(store, "pragma max_page_count = 1000000").await;
    }

    pub(crate) async fn open(dir: &tempfile::TempDir) -> Store {
        Store::open(&StoreOptions::sqlite(dir.path().join("db"))).await.expect("a database")
    }

    #[tokio::test]
    async fn a_transaction_that_the_full_database_has_ended_itself_ends_none_after_it() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let store = open(&dir).await;
        for _ in 0..3 {
            fill(&store).await;
            let mut tx = store.begin().await.expect("begun");
            let Connection::Sqlite(connection) = &mut tx.connection else { unreachable!("it is SQLite") };
            let large = "insert into defaults (engine, digest) values ('full', hex(zeroblob(100000)))";
            let refused = sqlx::query(large).execute(&mut **connection).await.expect_err("there is no room");
            assert!(is_full(&refused), "{refused}");
            drop(tx);
            make_room(&store).await;
            let mut tx = store.begin().await.expect("a transaction of its own");
            tx.set_default("size", Some(&"a".repeat(100_000))).await.expect("there is room again");
            tx.commit().await.expect("committed");
        }
        store.close().await;
    }
}
