//! What a file is called, holds and comes to is nowhere but with its owner; and nobody can knock on a processor's door.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use data_encoding::{BASE64, HEXLOWER};
use filemill_seal::Digest;
use xtask::stack::ProcessorOptions;
use xtask::wait;

use crate::harness::{Backend, Deed, LIMIT, Stage, incompressible, on_both};

on_both!(content_name_and_result_stay_out_of_database_objects_and_logs, a_processor_listens_nowhere_while_it_works,);

/// Bytes of a marker: too many to meet by chance. Random, so that no compressor can hide them.
const MARKER_BYTES: usize = 24;

/// Something that must not be found, in the forms in which it could be written down.
struct Secret {
    what: &'static str,
    forms: Vec<Vec<u8>>,
}

impl Secret {
    fn new(what: &'static str, bytes: &[u8]) -> Self {
        let hex = HEXLOWER.encode(bytes);
        // Base64 of the middle of a longer text is the same from one of three offsets on; the ends depend on the neighbours.
        let base64 = (0..3).map(|skip| {
            let whole = &bytes[skip..bytes.len() - (bytes.len() - skip) % 3];
            BASE64.encode(whole).into_bytes()
        });
        let mut forms = vec![bytes.to_vec(), hex.to_uppercase().into_bytes(), hex.into_bytes()];
        forms.extend(base64);
        Self { what, forms }
    }

    /// Every file under `folder` that has it.
    fn found_under(&self, folder: &Path) -> Result<Vec<String>> {
        let mut found = Vec::new();
        let mut folders = vec![folder.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).with_context(|| format!("cannot read `{}`", folder.display()))? {
                let path = entry?.path();
                if path.is_dir() {
                    folders.push(path);
                } else if let Ok(bytes) = fs::read(&path) // a database may remove its journal meanwhile
                    && (self.is_in(&bytes) || self.is_in(path.as_os_str().as_bytes()))
                {
                    found.push(path.display().to_string());
                }
            }
        }
        Ok(found)
    }

    fn is_in(&self, bytes: &[u8]) -> bool {
        self.forms.iter().any(|form| contains(bytes, form))
    }
}

fn content_name_and_result_stay_out_of_database_objects_and_logs(backend: Backend) -> Result<()> {
    let mut stage = Stage::new(backend)?;
    stage.absent_processor()?;
    let files = stage.folder("files")?;
    let content = incompressible(MARKER_BYTES)?;
    let name = HEXLOWER.encode(&incompressible(MARKER_BYTES)?);
    // Far apart, so that a compressor has no reason to touch the marker.
    let text = [&b"plain text\n".repeat(5000)[..], &content, &b"more of it\n".repeat(5000)[..]].concat();
    let file = files.write(format!("{name}.txt"), &text)?;
    let secrets = [
        Secret::new("content", &content),
        Secret::new("name", name.as_bytes()),
        Secret::new("digest", Digest::of(&text).as_bytes()),
        // What the engine says, as the result has it.
        Secret::new("report", format!("\"bytes\":{}", text.len()).as_bytes()),
    ];
    // The search finds what is there: the content in its folder, the name in the journal of the client.
    assert_eq!(secrets[0].found_under(files.path())?.len(), 1);

    // Nothing is deleted before a processor comes: everything is stored, and looked at.
    let ada = stage.person("ada")?;
    let sending = ada.start_sending([&file])?;
    wait::until("the upload to be stored", LIMIT, || {
        let uploads = ada.asker().uploads()?;
        Ok(uploads.iter().any(|upload| upload.stored == upload.chunks).then_some(()))
    })?;
    look(&mut stage, &secrets)?;
    stage.return_processors()?;
    let lines = sending.end(LIMIT)?.well()?.lines()?;
    assert_eq!(lines[0].number("bytes"), Some(text.len() as u64));
    look(&mut stage, &secrets)?;
    assert!(!secrets[1].found_under(ada.home())?.is_empty(), "the journal has no name");
    assert_eq!(secrets[0].found_under(ada.home())?, [""; 0], "the client wrote content to its disk");
    stage.end()
}

/// Looks for the secrets in all that server and processors wrote.
fn look(stage: &mut Stage, secrets: &[Secret]) -> Result<()> {
    let dir = stage.stack().dir().to_owned();
    let dump = stage.database_url().map(|url| dump(&url)).transpose()?;
    for secret in secrets {
        let mut found = secret.found_under(&dir.join("server"))?;
        let cache = dir.join("processor");
        if cache.exists() {
            found.extend(secret.found_under(&cache)?);
        }
        for process in ["server", "processor"] {
            for kind in ["log", "out"] {
                let log = fs::read(dir.join(format!("logs/{process}.{kind}"))).unwrap_or_default();
                if secret.is_in(&log) {
                    found.push(format!("{process}.{kind}"));
                }
            }
        }
        if dump.as_deref().is_some_and(|dump| secret.is_in(dump)) {
            found.push("PostgreSQL".into());
        }
        assert!(found.is_empty(), "the {} is in {found:?}", secret.what);
    }
    Ok(())
}

/// A PostgreSQL database as text; bytes in it are hexadecimal.
fn dump(url: &str) -> Result<Vec<u8>> {
    let output = Command::new("pg_dump").args(["--inserts", url]).output().context("cannot start `pg_dump`")?;
    if !output.status.success() {
        bail!("pg_dump failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(output.stdout)
}

fn a_processor_listens_nowhere_while_it_works(backend: Backend) -> Result<()> {
    let mut stage = Stage::new(backend)?;
    let between = stage.put_between()?;
    let recorded = stage.processor(ProcessorOptions::default())?;
    let files = stage.folder("files")?;
    files.write_incompressible("large", 40 << 20)?;
    let server = stage.stack().server_mut().id()?;
    let processor = stage.stack().processors_mut()[0].id()?;
    assert!(!listening(server)?.is_empty(), "a listening socket is not recognised");

    assert_eq!(listening(processor)?, [""; 0], "when it has started");
    between.storage.rule(|asked| match asked.sequence() {
        Some(2..) => Deed::Hold,
        _ => Deed::Pass,
    });
    let ada = stage.person("ada")?;
    let sending = ada.start_sending([files.path()])?;
    recorded.until("job first byte", |_| true)?;
    assert_eq!(listening(processor)?, [""; 0], "while an engine runs");
    between.storage.pass();
    sending.end(LIMIT)?.well()?;
    assert_eq!(listening(processor)?, [""; 0], "afterwards");
    stage.end()
}

/// The sockets of a process on which something from outside could arrive unasked.
fn listening(process: u32) -> Result<Vec<String>> {
    let mut own = Vec::new();
    for descriptor in fs::read_dir(format!("/proc/{process}/fd"))? {
        // One that was closed meanwhile is gone.
        let Ok(target) = fs::read_link(descriptor?.path()) else {
            continue;
        };
        let name = target.as_os_str().as_bytes();
        if let Some(inode) = name.strip_prefix(b"socket:[").and_then(|rest| rest.strip_suffix(b"]")) {
            own.push(OsStr::from_bytes(inode).to_string_lossy().into_owned());
        }
    }
    let mut found = Vec::new();
    // State 0A is LISTEN; an unconnected UDP or raw socket (07, no remote port) takes packets from anybody.
    for (table, open) in [("tcp", "0A"), ("tcp6", "0A"), ("udp", "07"), ("udp6", "07"), ("raw", "07"), ("raw6", "07")] {
        let text = fs::read_to_string(format!("/proc/{process}/net/{table}")).unwrap_or_default();
        for line in text.lines().skip(1) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let (Some(state), Some(inode)) = (fields.get(3), fields.get(9)) else {
                continue;
            };
            if *state == open && own.iter().any(|one| one == inode) {
                found.push(format!("{table} {line}"));
            }
        }
    }
    // A listening unix socket has the flag __SO_ACCEPTCON.
    let text = fs::read_to_string(format!("/proc/{process}/net/unix")).unwrap_or_default();
    for line in text.lines().skip(1) {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (Some(flags), Some(inode)) = (fields.get(3), fields.get(6)) else {
            continue;
        };
        let accepts = u32::from_str_radix(flags, 16).is_ok_and(|flags| flags & 0x1_0000 != 0);
        if accepts && own.iter().any(|one| one == inode) {
            found.push(format!("unix {line}"));
        }
    }
    Ok(found)
}

/// Whether `part` is somewhere in `whole`.
fn contains(whole: &[u8], part: &[u8]) -> bool {
    let Some((first, rest)) = part.split_first() else {
        return true;
    };
    let mut from = 0;
    while let Some(at) = whole[from..].iter().position(|byte| byte == first) {
        from += at + 1;
        if whole[from..].starts_with(rest) {
            return true;
        }
    }
    false
}
