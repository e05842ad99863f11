//! The two databases that everything has to work on.

use std::env;
use std::process::Command;

use anyhow::{Context, Result, anyhow, bail};
use xtask::Postgres;

/// A kind of database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Backend {
    Sqlite,
    Postgres,
}

/// A fresh database for one test.
pub(crate) enum Database {
    /// A file that the server makes in its folder.
    Sqlite,
    Postgres {
        administrator: String,
        name: String,
        /// Started for this test, where nobody started one for all.
        _own: Option<Box<Postgres>>,
    },
}

impl Backend {
    pub(crate) fn database(self) -> Result<Database> {
        if self == Self::Sqlite {
            return Ok(Database::Sqlite);
        }
        let (administrator, own) = match env::var("FILEMILL_TEST_POSTGRES_URL") {
            Ok(url) => (url, None),
            Err(_) => {
                let postgres = Postgres::start()?;
                (postgres.url().to_owned(), Some(Box::new(postgres)))
            }
        };
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(|error| anyhow!("no random name for a database: {error}"))?;
        let name = format!("e2e_{}", data_encoding::HEXLOWER.encode(&random));
        sql(&administrator, &format!("create database {name}"))?;
        Ok(Database::Postgres { administrator, name, _own: own })
    }
}

impl Database {
    /// What the server is told; none: it makes its own.
    pub(crate) fn url(&self) -> Option<String> {
        match self {
            Self::Sqlite => None,
            Self::Postgres { administrator, name, .. } => {
                let (place, _) = administrator.rsplit_once('/')?;
                Some(format!("{place}/{name}"))
            }
        }
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if let Self::Postgres { administrator, name, .. } = self
            && let Err(error) = sql(administrator, &format!("drop database {name} with (force)"))
        {
            eprintln!("{error:#}");
        }
    }
}

fn sql(url: &str, statement: &str) -> Result<()> {
    let output = Command::new("psql")
        .args(["--quiet", "--no-psqlrc", "--set", "ON_ERROR_STOP=1", "--command", statement])
        .arg(url)
        .output()
        .context("cannot start `psql`")?;
    if !output.status.success() {
        bail!("`{statement}` failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

/// Makes two tests, `sqlite::NAME` and `postgres::NAME`, of each function `NAME(Backend) -> Result<()>`.
macro_rules! on_both {
    ($($name:ident),+ $(,)?) => {
        mod sqlite {
            $(#[test]
            fn $name() -> anyhow::Result<()> {
                super::$name($crate::harness::Backend::Sqlite)
            })+
        }

        mod postgres {
            $(#[test]
            fn $name() -> anyhow::Result<()> {
                super::$name($crate::harness::Backend::Postgres)
            })+
        }
    };
}

pub(crate) use on_both;
