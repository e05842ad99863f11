//! Which engine a file goes to, and with which parameters: through every part.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use xtask::engine::{self, Engine};
use xtask::{Binaries, Profile, Tree};

use crate::harness::{Backend, LIMIT, Person, Said, Stage, on_both};

on_both!(
    what_is_published_is_described_from_the_start_so_that_auto_needs_no_processor,
    an_uploaders_own_rules_are_used_and_wrong_ones_are_refused_before_anything_is_sent,
);

fn engines(names: &[&str]) -> Result<Vec<Engine>> {
    engine::find_or_build(&Tree::locate()?, &names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>())
}

fn send(person: &Person, args: &[&str], paths: &[&Path]) -> Result<Said> {
    let mut send = person.command();
    send.args(["send", "--json"]).args(args).arg("--").args(paths);
    person.start(send)?.end(LIMIT)
}

fn what_is_published_is_described_from_the_start_so_that_auto_needs_no_processor(backend: Backend) -> Result<()> {
    let mut stage = Stage::new(backend)?;
    for engine in engines(&["archive", "text"])? {
        stage.stack().publish(&engine)?;
    }
    // It announces the pool, and leaves: nothing that it would describe is asked of it.
    stage.absent_processor()?;
    let ada = stage.person("ada")?;
    let listed = ada.asker().releases(xtask::stack::ORGANISATION)?;
    let archive = listed.iter().find(|release| release.engine == "archive").context("it is published")?;
    ensure!(archive.extensions.contains(&"docx".to_owned()), "{archive:?}");
    let files = stage.folder("files")?;
    let zip = b"PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    let sent = [
        (files.write("a.docx", zip)?, "archive"),
        (files.write("b.sql", "select 1;\n")?, "text"),
        (files.write("c", "words\n")?, "text"),
        (files.write("d", [0, 1, 2, 3])?, "size"),
        (files.write("e.unknown", zip)?, "archive"),
    ];
    let paths: Vec<&Path> = sent.iter().map(|(path, _)| path.as_path()).collect();
    let mut command = ada.command();
    command.args(["send", "--json", "--engine", "auto", "--"]).args(&paths);
    let sending = ada.start(command)?;
    stage.return_processors()?;
    let said = sending.end(LIMIT)?.well()?;
    for line in said.lines()? {
        let (_, engine) = sent.iter().find(|(path, _)| Path::new(&line.path) == path).context("it was sent")?;
        assert_eq!(line.engine, *engine, "{line:?}");
    }
    assert_eq!(said.lines()?.len(), sent.len());
    stage.end()
}

fn an_uploaders_own_rules_are_used_and_wrong_ones_are_refused_before_anything_is_sent(backend: Backend) -> Result<()> {
    let mut stage = Stage::complete(backend)?;
    stage.stack().publish(&engines(&["scan"])?[0])?;
    let ada = stage.person("ada")?;
    let files = stage.folder("files")?;
    let (needle, other) = (files.write("needle", "a needle in hay\n")?, files.write("other", "hay\n")?);
    // Longer than every processor takes, as collections of rules are.
    let filler: String = (0..4000)
        .map(|number| format!("rule filler_{number} {{ strings: $a = \"unlikely {number}\" condition: $a }}\n"))
        .collect();
    let rules = format!("{filler}rule needle {{ strings: $a = \"needle\" condition: $a }}\n");
    assert!((200_000..900_000).contains(&rules.len()));
    let rules = files.write("own.yar", rules)?;
    let own = format!("rules={}", rules.display());
    let said = send(&ada, &["--engine", "scan", "--param-file", &own], &[&needle, &other])?.well()?;
    for line in said.lines()? {
        let report = line.report.context("a report")?.to_string();
        assert_eq!(report.contains("\"needle\""), line.path.ends_with("needle"), "{report}");
    }
    let shown = ada.say(["show", &needle.to_string_lossy()])?.well()?;
    assert!(shown.out.contains("with parameters `rules`"), "{}", shown.out);
    let uploads = ada.asker().uploads()?.len();
    for (args, why) in [
        (["--param", "rule=x"], "there is no `rule`"),
        (["--param", "built_in=perhaps"], "`built_in` must be a boolean"),
    ] {
        let said = send(&ada, &[&["--engine", "scan"], &args[..]].concat(), &[&needle])?;
        assert_eq!(said.code, Some(1));
        assert!(said.log.contains(why), "{}", said.log);
    }
    let said = send(&ada, &["--engine", "auto", "--param", "built_in=true"], &[&needle])?;
    assert!(said.log.contains("--engine NAME"), "{}", said.log);
    assert_eq!(ada.asker().uploads()?.len(), uploads);
    stage.end()
}

#[test]
fn no_engine_allows_longer_parameters_than_a_processor_takes() -> Result<()> {
    let tree = Tree::locate()?;
    let processor = Binaries::find_or_build(&tree, Profile::Dev)?.processor;
    let mut limits = 0;
    for engine in engines(&["archive", "digest", "image", "scan", "size", "table", "text"])? {
        let output = Command::new(&processor).arg("inspect").arg(&engine.file).output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let description: Value = serde_json::from_slice(&output.stdout)?;
        assert_eq!(description["name"], *engine.name);
        limits += check_lengths(&description["parameter_schema"], &engine.name);
    }
    assert!(limits > 0, "no engine has a limit: this checks nothing");
    Ok(())
}

/// Every length of a text that a schema allows fits into parameters, with its quotes; how many there are.
fn check_lengths(schema: &Value, engine: &str) -> usize {
    let own = schema["maxLength"].as_u64().map(|most| {
        assert!(most + 16 <= filemill_seal::PARAMETERS_MAX_BYTES as u64, "`{engine}` allows {most} characters");
    });
    let below = match schema {
        Value::Object(members) => members.values().map(|schema| check_lengths(schema, engine)).sum(),
        Value::Array(items) => items.iter().map(|schema| check_lengths(schema, engine)).sum(),
        _ => 0,
    };
    below + usize::from(own.is_some())
}
