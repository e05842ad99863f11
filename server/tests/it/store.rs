//! The rules over a real database: every test runs on SQLite and on PostgreSQL.

mod clocks;
mod cursors;
mod deaths;
mod deletion;
mod descriptions;
mod engines;
mod fair_share;
mod heavy;
mod joins;
mod leasing;
mod looking;
mod names;
mod pools;
mod published;
mod races;
mod results;
mod roots;
mod site;
mod tasks;
mod uploads;

/// Makes two tests of each function: one with SQLite, one with PostgreSQL.
macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    crate::store::site::run(crate::store::site::Kind::Sqlite, super::$name).await;
                }
            )*
        }
        mod postgres {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $name() {
                    crate::store::site::run(crate::store::site::Kind::Postgres, super::$name).await;
                }
            )*
        }
    };
}

use on_both;
