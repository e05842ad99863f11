//! One database of a PostgreSQL: made for one measurement, and dropped after it.

use std::process::Command;

use anyhow::{Context, Result};
use data_encoding::HEXLOWER;

use super::{Postgres, find_programs};
use crate::program;
use crate::random;

/// A fresh, empty database. It is dropped, whoever is still connected to it, when this is.
#[derive(Debug)]
pub struct Database<'a> {
    postgres: &'a Postgres,
    name: String,
    url: String,
}

impl Postgres {
    /// Makes a database of its own for what comes next.
    ///
    /// # Errors
    ///
    /// When there is no `psql`, or PostgreSQL refuses.
    pub fn database(&self) -> Result<Database<'_>> {
        let name = format!("bench_{}", HEXLOWER.encode(&random::bytes::<8>()?));
        let (place, _) = self.url().rsplit_once('/').context("the database's URL names no database")?;
        let url = format!("{place}/{name}");
        self.sql(&format!("create database {name}"))?;
        Ok(Database { postgres: self, name, url })
    }

    /// Runs a statement as the administrator.
    fn sql(&self, statement: &str) -> Result<()> {
        let psql = program::find("psql").or_else(|| find_programs().map(|dir| dir.join("psql")));
        let mut command = Command::new(psql.context("there is no `psql`\nhint: install PostgreSQL's client")?);
        command.args(["--quiet", "--no-psqlrc", "--set", "ON_ERROR_STOP=1", "--command", statement]).arg(self.url());
        program::output(&mut command).map(drop).with_context(|| format!("`{statement}` failed"))
    }
}

impl Database<'_> {
    /// Where it is, as its administrator.
    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for Database<'_> {
    fn drop(&mut self) {
        // Also writes out what is left of it, so that the next measurement does not pay for that.
        if let Err(error) = self.postgres.sql(&format!("drop database {} with (force)", self.name)) {
            filemill_text::tell_lines(format_args!("{error:#}"));
        }
    }
}
