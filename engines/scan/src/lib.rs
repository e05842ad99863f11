//! `scan`: scans a file with YARA rules.
//!
//! Without parameters the built-in rules are used: the files of `rules/`, each rule with a description, a severity and a
//! reference. They recognise what a file is (executables, packed ones) and what deserves a second look (macros that run by
//! themselves, scripts that fetch and run code, web shells, private keys, the EICAR test file). They are few and general: no
//! substitute for an anti-malware product.
//!
//! Parameters: `rules`, the text of rules in YARA's language (not quite 1 MiB of it), used in place of the built-in ones; with `built_in: true`
//! beside them. Rules that do not compile are `failed`, with the place: `rules:3:5: error: unknown variable $missing`.
//! Rules are compiled and evaluated by `boreal`, with YARA's modules `console`, `dex`, `dotnet`, `elf`, `hash`, `macho`,
//! `math`, `pe` and `string`; not with `time`, because an engine has no clock, `magic` and `cuckoo`; `include` is refused.
//!
//! - A file of at most 64 MiB is scanned as a `whole`, in memory.
//! - A larger one is scanned in `fragments` of 16 MiB that overlap by 1 MiB, with one in memory at a time. There YARA's
//!   `filesize` has no value, modules see one fragment, a match longer than the overlap may be missed, and `#string` may
//!   count a match in the overlap twice. Conditions that read at an offset (`uint32(0)`) read the fragment again.
//! - Of a file of more than 4 GiB the first 4 GiB are scanned: offsets have 32 bits here. The report says so.
//!
//! The report lists the rules that match with tags, meta, strings and their places; each list is bounded, and `truncated`
//! says when there was more.

mod fragments;
mod report;
mod rules;

use boreal::Scanner;
use boreal::scanner::{FragmentedScanMode, ScanParams, ScanResult};
use filemill_engine::{Description, Engine, Failure, File, Input, Report};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::fragments::Cut;
use crate::report::{SHOWN_BYTES, Scan as ScanReport};

/// The largest file that is scanned as a whole, in bytes. A host gives an engine 256 MiB of memory by default.
const WHOLE_BYTES: usize = 64 * 1024 * 1024;

/// How a larger file is cut.
const CUT: Cut = Cut { fragment: 16 * 1024 * 1024, overlap: 1024 * 1024 };

/// How much of a file is scanned: what the 32 bits of an offset reach, less a fragment.
const SCANNED_BYTES: u64 = (1 << 32) - (1 << 24);

/// How often a string is looked for until that is enough. It bounds the memory of a scan.
const MATCHES_OF_A_STRING: u32 = 1_000;

/// The engine.
struct Scan;

/// What the uploader may set.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Parameters {
    /// Rules in YARA's language; absent: the built-in ones.
    #[schemars(length(max = rules::RULES_BYTES))]
    rules: Option<String>,
    /// Whether the built-in rules are used; absent: if there are no others.
    built_in: Option<bool>,
}

impl Engine for Scan {
    type Parameters = Parameters;

    fn describe() -> Description {
        filemill_engine::description!().seekable().parameters::<Parameters>().report::<ScanReport>()
    }

    fn analyze(_file: &File, input: &mut Input, parameters: Parameters) -> Result<Report, Failure> {
        let rules = parameters.rules.as_deref();
        let mut scanner = rules::compile(parameters.built_in.unwrap_or(rules.is_none()), rules)?;
        scanner.set_scan_params(
            ScanParams::default()
                .compute_full_matches(true)
                .match_max_length(SHOWN_BYTES)
                .string_max_nb_matches(MATCHES_OF_A_STRING)
                .fragmented_scan_mode(FragmentedScanMode::legacy())
                .timeout_duration(None),
        );
        let report = match usize::try_from(input.size()) {
            Ok(size) if size <= WHOLE_BYTES => whole(&scanner, input, size)?,
            _ => in_fragments(&scanner, input, CUT)?,
        };
        Report::new(report.summary(), &report)
    }
}

filemill_engine::export!(Scan);

/// Scans the file of `size` bytes in memory.
fn whole(scanner: &Scanner, input: &mut Input, size: usize) -> Result<ScanReport, Failure> {
    let mut bytes = Vec::with_capacity(size);
    while bytes.len() < size {
        let piece = input.next(size - bytes.len())?;
        if piece.is_empty() {
            break;
        }
        bytes.extend_from_slice(&piece);
    }
    let result = finished(scanner.scan_mem(&bytes))?;
    let mut report = ScanReport::of(scanner, &result.rules);
    report.scanned_bytes = bytes.len() as u64;
    Ok(report)
}

/// Scans the file piece by piece.
fn in_fragments(scanner: &Scanner, input: &mut Input, cut: Cut) -> Result<ScanReport, Failure> {
    let scanned_bytes = input.size().min(SCANNED_BYTES);
    let is_cut = scanned_bytes < input.size();
    let size = usize::try_from(scanned_bytes).map_err(|_| Failure::failed("the file is too long to be scanned"))?;
    let result = finished(fragments::scan(input, size, cut, |fragments| scanner.scan_fragmented(fragments))?)?;
    let mut report = ScanReport::of(scanner, &result.rules);
    report.mode = "fragments";
    report.scanned_bytes = scanned_bytes;
    report.truncated |= is_cut;
    Ok(report)
}

fn finished<'a, E: std::fmt::Display>(
    result: Result<ScanResult<'a>, (E, ScanResult<'a>)>,
) -> Result<ScanResult<'a>, Failure> {
    result.map_err(|(error, _)| Failure::failed(format!("the scan did not finish: {error}")))
}

#[cfg(test)]
mod tests;
