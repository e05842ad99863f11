//! The versions of the tables, and which of them this program works with.

use sqlx::migrate::{Migrate, MigrateError, Migration, MigrationType, Migrator};
use sqlx::{Acquire, AssertSqlSafe, PgPool, SqlSafeStr, SqlitePool};

use super::{StoreError, dialect};

/// A migration: its version, what it is about, its statements.
type Step = (i64, &'static str, &'static str);

/// Those of release 0.1.0, noted where sqlx notes them by itself.
const FIRST: &[Step] = &[
    (1, "queue", include_str!("../../migrations/0001_queue.sql")),
    (2, "turns", include_str!("../../migrations/0002_turns.sql")),
    (3, "service", include_str!("../../migrations/0003_service.sql")),
    (4, "marks", include_str!("../../migrations/0004_marks.sql")),
    (5, "pool roots", include_str!("../../migrations/0005_pool_roots.sql")),
    (6, "clocks", include_str!("../../migrations/0006_clocks.sql")),
    (7, "published descriptions", include_str!("../../migrations/0007_published_descriptions.sql")),
    (8, "defaults", include_str!("../../migrations/0008_defaults.sql")),
    (9, "join codes", include_str!("../../migrations/0009_join_codes.sql")),
    (10, "given codes", include_str!("../../migrations/0010_given_codes.sql")),
];

/// All later ones, noted in [`LATER_TABLE`]. A server of release 0.1.0 does not start where a migration is noted in the other table that it
/// does not know; it works with all of these, and so comes back beside newer servers, and after them.
const LATER: &[Step] = &[
    (11, "need sets", include_str!("../../migrations/0011_need_sets.sql")),
    (12, "tasks", include_str!("../../migrations/0012_tasks.sql")),
    (13, "devices", include_str!("../../migrations/0013_devices.sql")),
    (14, "schema needs", include_str!("../../migrations/0014_schema_needs.sql")),
];

/// Where sqlx notes migrations by itself.
pub(super) const FIRST_TABLE: &str = "_sqlx_migrations";
/// Where later ones are noted.
pub(super) const LATER_TABLE: &str = "_filemill_migrations";

/// Asks for the newest migration that a server must know.
pub(super) const NEEDED: &str = "select max(migration) from schema_needs";

/// The newest migration that this program knows.
pub(super) const NEWEST: i64 = LATER[LATER.len() - 1].0;

/// Brings the tables to this version. With SQLite, sqlx locks nothing: of two programs that start at once, one may find the tables of the
/// other, and sees that they are there when it looks again.
///
/// # Errors
/// [`MigrateError`]; what a later release has added is none.
pub(super) async fn run_sqlite(writer: &SqlitePool) -> Result<(), MigrateError> {
    match run(writer, &dialect::SQLITE).await {
        Err(MigrateError::Execute(_) | MigrateError::ExecuteMigration(..)) => run(writer, &dialect::SQLITE).await,
        ended => ended,
    }
}

/// The same with PostgreSQL, where one program waits for the other.
///
/// # Errors
/// As [`run_sqlite`].
pub(super) async fn run_postgres(pool: &PgPool) -> Result<(), MigrateError> {
    run(pool, &dialect::POSTGRES).await
}

async fn run<'a, A>(database: A, dialect: &dialect::Dialect) -> Result<(), MigrateError>
where
    A: Acquire<'a> + Copy,
    <A::Connection as std::ops::Deref>::Target: Migrate,
{
    first(dialect).run(database).await?;
    later(dialect).run(database).await
}

/// The migrations of release 0.1.0.
pub(super) fn first(dialect: &dialect::Dialect) -> Migrator {
    migrator(FIRST, dialect)
}

/// The later ones. Those of a later release that are noted are let be: `schema_needs` says whether this program works with them.
pub(super) fn later(dialect: &dialect::Dialect) -> Migrator {
    let mut migrator = migrator(LATER, dialect);
    migrator.dangerous_set_table_name(LATER_TABLE);
    migrator.set_ignore_missing(true);
    migrator
}

fn migrator(steps: &[Step], dialect: &dialect::Dialect) -> Migrator {
    let migration = |&(version, description, sql): &Step| {
        let sql = AssertSqlSafe(dialect::translate(sql, dialect)).into_sql_str();
        Migration::new(version, description.into(), MigrationType::Simple, sql, false)
    };
    Migrator::with_migrations(steps.iter().map(migration).collect())
}

/// Refuses a database from which a later release has taken something that this program needs.
///
/// # Errors
/// [`StoreError::Newer`].
pub(super) fn check_needed(place: &str, needed: i64) -> Result<(), StoreError> {
    if needed <= NEWEST {
        return Ok(());
    }
    Err(StoreError::Newer { place: place.to_owned(), needed, newest: NEWEST })
}
