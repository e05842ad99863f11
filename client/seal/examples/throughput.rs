//! How fast sealing is on this machine: `cargo run --release -p filemill-seal --example throughput`.
//!
//! One thread. Each line is the median of several rounds. *Log lines* are synthetic, so that only the order of magnitude of
//! their compression means anything; *noise* does not compress and is stored.
#![expect(clippy::print_stdout, reason = "an example that prints its measurements")]

use std::time::{Duration, Instant};

use filemill_seal::{
    BATCH_MAX, CHUNK_SIZE_DEFAULT, ChunkOpener, ChunkSealer, ChunkShape, Compressor, DataKey, Decompressor, Digest,
    EngineInput, Expected, FileEntry, Format, Header, Identity, Outcome, Report, Resources, ResultBody, Task, UploadId,
    Verdict, open_batch, open_result, seal_batch, seal_result,
};

fn main() {
    let (pool, uploader) = (Identity::generate(), Identity::generate());
    let content = b"some content";
    let header = Header {
        format: Format::Two,
        upload: UploadId::random(),
        key: DataKey::random(),
        uploader: uploader.recipient(),
        tasks: vec![Task { releases: vec![Digest::of(b"release")], parameters: "{}".to_owned() }],
        organisation: Vec::new(),
        isolation: [].into(),
        chunk_size: CHUNK_SIZE_DEFAULT,
        not_after: u64::MAX,
        files: (0..4_096)
            .map(|index| FileEntry {
                name: format!("folder/file {index:05}").into_bytes(),
                length: content.len() as u64,
            })
            .collect(),
    };
    let pool_recipients = [pool.recipient()];
    let sealed_header = header.seal(&pool_recipients).expect("it seals");
    let identities = [pool];
    line("header of 4,096 files: seal", 0, || drop(header.seal(&pool_recipients)));
    line("header of 4,096 files: open", 0, || drop(Header::open(&sealed_header, &identities)));

    results(&header, sealed_header.digest(), &[uploader], content);
    chunks(&header, sealed_header.digest());
}

fn results(header: &Header, digest: Digest, uploader: &[Identity], content: &[u8]) {
    let body = ResultBody {
        upload: header.upload,
        task: 0,
        index: 7,
        header: digest,
        release: Some(header.tasks[0].releases[0]),
        outcome: Outcome::Succeeded,
        input: Some(EngineInput { length: content.len() as u64, sha256: Digest::of(content) }),
        report: Some(Report::from_json(r#"{"bytes":12,"lines":1}"#.to_owned()).expect("an object")),
        failure: None,
        log: Vec::new(),
        resources: Resources::default(),
    };
    let sealed = seal_result(&body, &header.key, &header.uploader).expect("it seals");
    let expected = |index| Expected::from_header(header, digest, 0, index).expect("such a file");
    let alone = Expected { format: Format::One, ..expected(7) };
    line("result of format 1: seal", 0, || drop(seal_result(&body, &header.key, &header.uploader)));
    line("result of format 1: open and verify", 0, || {
        open_result(&sealed, uploader).expect("it opens").verify(&header.key, &alone).expect("it verifies");
    });
    let bodies: Vec<_> = (0..BATCH_MAX as u32).map(|index| ResultBody { index, ..body.clone() }).collect();
    let batch = seal_batch(&bodies, header).expect("it seals");
    let expected: Vec<_> = (0..BATCH_MAX as u32).map(expected).collect();
    line("64 results in a batch: seal", 0, || drop(seal_batch(&bodies, header)));
    line("64 results in a batch: open and verify", 0, || {
        open_batch(&batch, uploader).expect("it opens").verify(&header.key, &expected).expect("it verifies");
    });
}

fn chunks(header: &Header, digest: Digest) {
    let sealer = ChunkSealer::new(&header.key, header.upload, digest);
    let opener = ChunkOpener::new(&header.key, header.upload, digest);
    let (noise, logs) = (noise(), log_lines());
    let shape = ChunkShape { sequence: 0, last: true, length: CHUNK_SIZE_DEFAULT, verdicts: 1 };
    let verdicts = [Verdict::Intact(Digest::of(b"some file"))];
    let mut decompressor = Decompressor::new();
    line("SHA-256 alone", noise.len(), || drop(Digest::of(&noise).to_string()));
    for (name, data, level) in [("noise", &noise, 1), ("log lines", &logs, -1), ("log lines", &logs, 3)] {
        let mut compressor = Compressor::new(level);
        let mut out = Vec::new();
        line(&format!("chunk of {name}, level {level}: seal and hash"), data.len(), || {
            sealer.seal(&shape, data, &verdicts, &mut compressor, &mut out).expect("it seals");
        });
        // The copy stands for what arrives from the network, and is measured with it.
        line(&format!("chunk of {name}, level {level}: open"), data.len(), || {
            drop(opener.open(&shape, out.clone(), &mut decompressor).expect("it opens"));
        });
        let ratio = data.len() as f64 / out.len() as f64;
        println!("{:48} {ratio:8.1} : 1, encoder holds {} KiB", "", compressor.memory_bytes() >> 10);
    }
}

/// Runs `action` for half a second and prints the median, and for `bytes` per run the throughput.
fn line(name: &str, bytes: usize, mut action: impl FnMut()) {
    let mut rounds = Vec::new();
    let started = Instant::now();
    while started.elapsed() < Duration::from_millis(500) || rounds.len() < 5 {
        let round = Instant::now();
        action();
        rounds.push(round.elapsed());
    }
    rounds.sort_unstable();
    let median = rounds[rounds.len() / 2].as_secs_f64();
    if bytes == 0 {
        println!("{name:48} {:8.1} µs", median * 1e6);
    } else {
        println!("{name:48} {:8.0} MB/s", bytes as f64 / median / 1e6);
    }
}

fn noise() -> Vec<u8> {
    let blocks = CHUNK_SIZE_DEFAULT / 32;
    (0..blocks).flat_map(|block| *Digest::of(&block.to_be_bytes()).as_bytes()).collect()
}

fn log_lines() -> Vec<u8> {
    let mut text = Vec::new();
    for number in 0_u32.. {
        let id = &Digest::of(&number.to_be_bytes()).to_string()[..8];
        let (second, host) = (number % 60, number % 7);
        text.extend_from_slice(
            format!("2025-11-22T12:31:{second:02}Z host-{host} GET /v1/objects/{id} 200 {}\n", number % 977).as_bytes(),
        );
        if text.len() >= CHUNK_SIZE_DEFAULT as usize {
            break;
        }
    }
    text.truncate(CHUNK_SIZE_DEFAULT as usize);
    text
}
