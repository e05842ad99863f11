//! A row of the database as a struct.

/// Lets a row be read into a struct whose fields are called as its columns: `from_row!(Candidate { id, upload })`.
///
/// `sqlx::FromRow` can be derived, too; but sqlx's macros are built with its drivers, so that SQLite, tokio and some forty crates
/// more would be compiled a second time, for the compiler (docs/bench/build.md).
macro_rules! from_row {
    ($row:ident { $($field:ident),+ $(,)? }) => {
        $crate::store::from_row!(sqlx::sqlite::SqliteRow => $row { $($field),+ });
        $crate::store::from_row!(sqlx::postgres::PgRow => $row { $($field),+ });
    };
    ($of:ty => $row:ident { $($field:ident),+ }) => {
        impl sqlx::FromRow<'_, $of> for $row {
            fn from_row(row: &$of) -> Result<Self, sqlx::Error> {
                Ok(Self { $($field: sqlx::Row::try_get(row, stringify!($field))?),+ })
            }
        }
    };
}

pub(crate) use from_row;
