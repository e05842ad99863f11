//! `join`: the first start of a processor, by a one-time code.

use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use data_encoding::HEXLOWER;
use filemill_processor::{Join, JoinConfig, Origin, ProcessorFolder, join};
use filemill_text::Lines;
use url::Url;

use super::joined::{self, NotJoined};
use super::node::{NodeArgs, Place, prepare};

#[derive(Args)]
pub(crate) struct JoinArgs {
    /// The server, for example https://filemill.example.org.
    server: Url,
    /// A one-time code of the server's. It may stand in a command line: it is good once, for ten minutes.
    #[arg(long)]
    code: String,
    /// Where presigned URLs may point to, for example https://s3.example.org; repeat it for several.
    #[arg(long = "storage-origin", value_delimiter = ',', required = true)]
    storage_origins: Vec<Origin>,
    /// The folder for token, keys and compiled engines, readable by its owner only; `~/.local/state/filemill/processor` if not
    /// given.
    #[arg(long, env = "FILEMILL_PROCESSOR_DIR")]
    dir: Option<PathBuf>,
    #[command(flatten)]
    node: NodeArgs,
}

/// The line by which a person logs in went nowhere.
#[derive(Debug, thiserror::Error)]
#[error("the line by which `{user}` logs in cannot be printed")]
pub(crate) struct NotPrinted {
    user: String,
    source: io::Error,
}

/// What to do about that.
pub(crate) const NOT_PRINTED_HINT: &str =
    "the processor has joined: run the same line again within ten minutes, with a standard output that takes it";

/// Runs the command.
pub(crate) fn run(args: JoinArgs) -> anyhow::Result<()> {
    let folder = ProcessorFolder::at(args.dir)?;
    let server = args.server.as_str().trim_end_matches('/').to_owned();
    let config = JoinConfig {
        server: args.server,
        code: args.code,
        storage_origins: args.storage_origins,
        allow_plain_http: args.node.allow_plain_http,
        folder: folder.clone(),
        patience: JoinConfig::PATIENCE_DEFAULT,
    };
    config.check()?;
    // All that can be wrong here is found out before the code is spent.
    folder.make()?;
    let place = Place {
        server: config.server.clone(),
        pool: folder.pool(),
        storage_origins: config.storage_origins.clone(),
        cache: Some(folder.cache()),
    };
    let ready = prepare(place, args.node)?;
    let network = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("no thread can be started for the network")?;
    let join = network.block_on(join(config))?;
    drop(network);
    greet(&server, &folder.pool(), &join)?;
    // Before that, the same line asks for it again.
    join.shown()?;
    let joined = folder.joined()?.ok_or_else(|| NotJoined { dir: folder.dir().to_owned() })?;
    joined::start(ready, &folder, &joined)
}

/// Says what was joined, and prints the line by which a person logs in. The pool's root comes to that person from here, and so by a way
/// in which the server has no part.
fn greet(server: &str, keys: &Path, joined: &Join) -> anyhow::Result<()> {
    let Join { enrolment, login, is_repeated, unpublished, not_again, .. } = joined;
    let (pool, fingerprint) = (enrolment.pool(), enrolment.fingerprint());
    let before = if *is_repeated { " before" } else { "" };
    filemill_text::tell!("joined `{server}`{before}: pool `{pool}`, fingerprint {fingerprint}");
    if let Some(why) = unpublished {
        filemill_text::tell!("warning: the server does not pass on what the pool's root has signed: {why}");
        filemill_text::tell!(
            "hint: its operator names the root (`filemill-server pool root {pool} ENROLMENT`); where the pool has another already, stop this, \
             and replace `{}` by a copy of the folder `pool` that has that one",
            keys.display()
        );
    }
    if let Some(why) = not_again {
        filemill_text::tell!(
            "warning: a code for a person that came along, and was not shown, is not given again: {why}"
        );
    }
    filemill_text::tell!("the next start needs no code: `filemill-processor run`");
    let root = format!("--root {pool}:{}", HEXLOWER.encode(enrolment.root()));
    match login {
        Some(login) => {
            let minutes = login.expires_in_s.div_ceil(60);
            filemill_text::tell!("`{}` logs in with this line, within {minutes} minutes", login.user);
            let mut out = Lines::on_stdout();
            out.line(format_args!("filemill login --server {server} --code {} {root}", login.code))
                .and_then(|()| out.flush())
                .map_err(|source| NotPrinted { user: login.user.clone(), source })?;
        }
        None => filemill_text::tell!(
            "people log in with a code of their own (`filemill-server join-code create --scope user`): filemill login --server {server} \
             --code CODE {root}"
        ),
    }
    Ok(())
}
