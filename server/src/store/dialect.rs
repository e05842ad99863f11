//! The few words in which the two databases differ, and the macros that let one SQL text serve both.
//!
//! A statement is written once, in PostgreSQL's style of parameters (`$1`), with these words for what differs:
//!
//! | word | PostgreSQL | SQLite |
//! | --- | --- | --- |
//! | `{rows $n}` | the elements of the JSON array `$n`, as `e(value)` | the same, by `jsonb_each` |
//! | `{lock}` | `for no key update` | nothing: there is one writer |
//! | `{skip}` | `for no key update skip locked` | nothing |
//! | `{each}` … `{end}` | runs `r` for each row before, chosen by what is between: `cross join lateral (select x.*` … `) as r` | `join runs r on r.id in (select x.id` … `)` |
//! | `{now}` | the database's clock, milliseconds since 1970 | the same |
//! | `{steady}` | the clock that does not jump, in milliseconds: see the table `clocks` | the same |
//! | `{greatest}` | `greatest` | `max` |
//! | `{id}`, `{bytes}` | types of columns, in migrations | |
//!
//! A row of `{rows $n}` is an array, whose fields both read as text by `e.value ->> 0`: cast what is not text.

use std::sync::OnceLock;

/// One statement, translated once for each database.
pub(super) struct Text {
    source: &'static str,
    sqlite: OnceLock<String>,
    postgres: OnceLock<String>,
}

impl Text {
    pub(super) const fn new(source: &'static str) -> Self {
        Self { source, sqlite: OnceLock::new(), postgres: OnceLock::new() }
    }

    pub(super) fn sqlite(&'static self) -> &'static str {
        self.sqlite.get_or_init(|| translate(self.source, &SQLITE))
    }

    pub(super) fn postgres(&'static self) -> &'static str {
        self.postgres.get_or_init(|| translate(self.source, &POSTGRES))
    }
}

/// What each word means.
pub(super) struct Dialect {
    rows: (&'static str, &'static str),
    words: [(&'static str, &'static str); 9],
}

pub(super) const SQLITE: Dialect = Dialect {
    // Not `json_each`, which writes a whole row out as text whenever one of its fields is looked at.
    rows: ("jsonb_each(", ") as e"),
    words: [
        ("{lock}", ""),
        ("{skip}", ""),
        ("{each}", "join runs r on r.id in (select x.id"),
        ("{end}", ")"),
        ("{now}", "cast(unixepoch('subsec') * 1000 as integer)"),
        ("{steady}", "(select steady from clocks where id = 1)"),
        ("{greatest}", "max"),
        ("{id}", "integer primary key"),
        ("{bytes}", "blob"),
    ],
};

pub(super) const POSTGRES: Dialect = Dialect {
    rows: ("jsonb_array_elements(cast(", " as jsonb)) as e(value)"),
    words: [
        ("{lock}", "for no key update"),
        ("{skip}", "for no key update skip locked"),
        ("{each}", "cross join lateral (select x.*"),
        ("{end}", ") as r"),
        // Not `now()`, which stands still within a transaction: a deadline counts from when it is written.
        ("{now}", "cast(extract(epoch from clock_timestamp()) * 1000 as bigint)"),
        ("{steady}", "(select steady from clocks where id = 1)"),
        ("{greatest}", "greatest"),
        ("{id}", "bigint generated always as identity primary key"),
        ("{bytes}", "bytea"),
    ],
};

/// `source` in the dialect.
pub(super) fn translate(source: &str, dialect: &Dialect) -> String {
    let mut text = source.to_owned();
    for (word, meaning) in dialect.words {
        text = text.replace(word, meaning);
    }
    let (before, after) = dialect.rows;
    while let Some(start) = text.find("{rows ") {
        let end = text[start..].find('}').map_or(text.len(), |length| start + length);
        let parameter = text[start + "{rows ".len()..end].to_owned();
        text.replace_range(start..(end + 1).min(text.len()), &format!("{before}{parameter}{after}"));
    }
    text
}

/// Runs a statement in a transaction: `execute!(tx, "sql", arguments…)` → rows affected.
macro_rules! execute {
    ($tx:expr, $sql:expr $(, $argument:expr)* $(,)?) => {{
        static TEXT: $crate::store::dialect::Text = $crate::store::dialect::Text::new($sql);
        let done = match &mut $tx.connection {
            $crate::store::Connection::Sqlite(c) => {
                sqlx::query(TEXT.sqlite())$(.bind($argument))*.execute(&mut **c).await.map(|done| done.rows_affected())
            }
            $crate::store::Connection::Postgres(c) => {
                sqlx::query(TEXT.postgres())$(.bind($argument))*.execute(&mut **c).await.map(|done| done.rows_affected())
            }
        };
        done.inspect_err(|error| $tx.room.note(error))
    }};
}

/// Fetches all rows in a transaction: `rows!(tx, RowType, "sql", arguments…)` → `Vec<RowType>`.
macro_rules! rows {
    ($tx:expr, $row:ty, $sql:expr $(, $argument:expr)* $(,)?) => {{
        static TEXT: $crate::store::dialect::Text = $crate::store::dialect::Text::new($sql);
        let found = match &mut $tx.connection {
            $crate::store::Connection::Sqlite(c) => {
                sqlx::query_as::<_, $row>(TEXT.sqlite())$(.bind($argument))*.fetch_all(&mut **c).await
            }
            $crate::store::Connection::Postgres(c) => {
                sqlx::query_as::<_, $row>(TEXT.postgres())$(.bind($argument))*.fetch_all(&mut **c).await
            }
        };
        found.inspect_err(|error| $tx.room.note(error))
    }};
}

/// Fetches all rows from the pool for reading, outside of any transaction.
macro_rules! read {
    ($store:expr, $row:ty, $sql:expr $(, $argument:expr)* $(,)?) => {{
        static TEXT: $crate::store::dialect::Text = $crate::store::dialect::Text::new($sql);
        match &$store.pools {
            $crate::store::Pools::Sqlite { readers, .. } => {
                sqlx::query_as::<_, $row>(TEXT.sqlite())$(.bind($argument))*.fetch_all(readers).await
            }
            $crate::store::Pools::Postgres(pool) => {
                sqlx::query_as::<_, $row>(TEXT.postgres())$(.bind($argument))*.fetch_all(pool).await
            }
        }
    }};
}

pub(super) use {execute, read, rows};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_replaced_wherever_they_stand() {
        let source = "select {greatest}(a, $1) from {rows $1} join t on t.id = e.value ->> 0 where u < {now} {skip}";
        assert_eq!(
            translate(source, &SQLITE),
            "select max(a, $1) from jsonb_each($1) as e join t on t.id = e.value ->> 0 \
             where u < cast(unixepoch('subsec') * 1000 as integer) "
        );
        assert!(translate(source, &POSTGRES).contains("from jsonb_array_elements(cast($1 as jsonb)) as e(value) join"));
    }
}
