//! Where the database is.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use sqlx::postgres::PgConnectOptions;

use super::StoreError;

/// Which database to open.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum StoreOptions {
    /// A file, made if there is none.
    Sqlite {
        /// Its path.
        path: PathBuf,
    },
    /// A PostgreSQL server.
    Postgres {
        /// Where, as whom, which database.
        options: Box<PgConnectOptions>,
        /// At most this many connections.
        connections: u32,
    },
}

impl StoreOptions {
    /// A file at `path`; its folder has to exist.
    #[must_use]
    pub fn sqlite(path: impl AsRef<Path>) -> Self {
        Self::Sqlite { path: path.as_ref().to_owned() }
    }

    /// From `sqlite:PATH`, or a `postgres:` URL, for which at most `connections` are opened.
    ///
    /// # Errors
    /// [`StoreError::Place`] when it is neither; [`StoreError::Open`] when the URL does not parse.
    pub fn from_url(url: &str, connections: u32) -> Result<Self, StoreError> {
        if let Some(path) = url.strip_prefix("sqlite:") {
            return Ok(Self::sqlite(path));
        }
        if !url.starts_with("postgres:") && !url.starts_with("postgresql:") {
            // Up to the `@` there may be a password.
            let shown = url.rsplit('@').next().unwrap_or_default().chars().take(80).collect();
            return Err(StoreError::Place { url: shown });
        }
        let options = PgConnectOptions::from_str(url)
            .map_err(|source| StoreError::Open { place: "postgres".to_owned(), source })?;
        Ok(Self::Postgres { options: Box::new(options), connections })
    }
}

/// The place, without user and password.
impl fmt::Display for StoreOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite { path } => write!(f, "sqlite:{}", path.display()),
            Self::Postgres { options, .. } => write!(
                f,
                "postgres://{}:{}/{}",
                options.get_host(),
                options.get_port(),
                options.get_database().unwrap_or_default()
            ),
        }
    }
}
