//! `digest`: the hashes of a file, and its entropy by window.
//!
//! SHA-256 and BLAKE3 come from the host, which computes them natively while the file passes; CRC-32 (that of zip and gzip)
//! and the entropy are computed here. One pass, and the same memory whatever the size: there are at most as many windows as
//! the parameter `windows` says, and when the file has grown beyond them, each two neighbours become one.
//!
//! Entropy is Shannon's, of single bytes, in bits per byte: 0 where one value repeats, about 4 to 5 in text, close to 8 in
//! what is compressed, encrypted or random. A small window cannot reach 8: of 1,024 random bytes it finds about 7.8.
//!
//! | parameter | is | by default |
//! | --- | --- | --- |
//! | `windows` | the most windows, 16 to 1,024 | 256 |
//!
//! Beside the report there is a plot, `entropy.svg`, unless the file is empty.

mod entropy;
mod said;

use filemill_engine::{Description, Engine, Failure, File, HashAlgorithm, Input, Report};
use filemill_plot::{Axis, Chart, Unit};
use schemars::JsonSchema;
use serde::Deserialize;

use entropy::Windows;
use said::{Entropy, Said, hexadecimal};

/// The engine.
pub struct Digest;

/// What the uploader may set.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Parameters {
    /// The most windows of which the entropy is told.
    #[schemars(title = "Windows", range(min = 16, max = 1024))]
    windows: usize,
}

impl Default for Parameters {
    fn default() -> Self {
        Self { windows: 256 }
    }
}

/// How much is asked for at once.
const PIECE_BYTES: usize = 256 * 1024;

impl Engine for Digest {
    type Parameters = Parameters;

    fn describe() -> Description {
        filemill_engine::description!().parameters::<Parameters>().report::<Said>()
    }

    fn analyze(file: &File, input: &mut Input, parameters: Parameters) -> Result<Report, Failure> {
        if !(16..=1024).contains(&parameters.windows) {
            let windows = parameters.windows;
            return Err(Failure::failed(format!("the engine's parameter `windows` is {windows}, and not 16 to 1024")));
        }
        input.hash(HashAlgorithm::Sha256)?;
        input.hash(HashAlgorithm::Blake3)?;
        let mut windows = Windows::new(parameters.windows, file.size);
        let mut crc32 = crc32fast::Hasher::new();
        loop {
            let piece = input.next(PIECE_BYTES)?;
            if piece.is_empty() {
                break;
            }
            crc32.update(&piece);
            windows.add(&piece);
        }
        let said = Said {
            bytes: input.position(),
            sha256: hexadecimal(&input.digest(HashAlgorithm::Sha256)?),
            blake3: hexadecimal(&input.digest(HashAlgorithm::Blake3)?),
            crc32: hexadecimal(&crc32.finalize().to_be_bytes()),
            entropy: Entropy::of(&windows),
        };
        let report = Report::new(said.summary(), &said)?;
        Ok(match plot(&said, &file.name) {
            Some(svg) => report.with_artifact("entropy.svg", "image/svg+xml", svg),
            None => report,
        })
    }
}

filemill_engine::export!(Digest);

/// The entropy along the file; a file without bytes has none.
fn plot(said: &Said, name: &str) -> Option<String> {
    let entropy = &said.entropy;
    let (first, last) = (entropy.windows.first()?, entropy.windows.last()?);
    // A window's value stands at its middle, and the line goes on to both ends of the file.
    let end = said.bytes as f64;
    let middle = |window: usize| ((window as f64 + 0.5) * entropy.window_bytes as f64).min(end);
    let mut points = vec![(0.0, *first)];
    points.extend(entropy.windows.iter().enumerate().map(|(window, value)| (middle(window), *value)));
    points.push((end, *last));
    let x = Axis::new("offset in the file", Unit::Bytes).from_to(0.0, end);
    let y = Axis::new("bits per byte", Unit::Number).from_to(0.0, 8.0);
    Some(Chart::new(format!("Entropy of {name}"), x, y).line(&points))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(bytes: &[u8], parameters: &str) -> Report {
        filemill_engine::run::<Digest>("a<b>.bin", bytes, parameters).expect("a report")
    }

    #[test]
    fn it_describes_itself_soundly() {
        Digest::describe().check().expect("sound");
    }

    #[test]
    fn an_empty_file_has_hashes_and_no_plot() {
        let report = run(b"", "{}");
        assert!(report.json().contains("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"));
        assert!(report.json().contains(r#""crc32":"00000000""#), "{}", report.json());
        assert!(report.artifacts().is_empty());
    }

    #[test]
    fn hashes_are_those_of_the_standards() {
        let report = run(b"123456789", "{}");
        // The check value of CRC-32 in the catalogue of parametrised CRC algorithms, and FIPS 180-4 for SHA-256.
        assert!(report.json().contains(r#""crc32":"cbf43926""#), "{}", report.json());
        assert!(report.json().contains("15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225"));
    }

    #[test]
    fn the_plot_escapes_the_files_name() {
        let report = run(&[7; 5000], "{}");
        let svg = String::from_utf8(report.artifacts()[0].data.clone()).expect("text");
        assert!(svg.contains("Entropy of a&lt;b&gt;.bin"), "{svg}");
    }

    #[test]
    fn what_has_one_window_has_a_level_line() {
        assert_eq!(run(b"abc", "{}").artifacts().len(), 1);
    }

    #[test]
    fn parameters_out_of_range_are_refused() {
        for wrong in [r#"{"windows":15}"#, r#"{"windows":1025}"#, r#"{"windows":-1}"#, r#"{"window":64}"#] {
            let failure = filemill_engine::run::<Digest>("a", "", wrong).expect_err("refused");
            assert!(failure.sentence().contains("`window"), "{failure:?}");
        }
    }
}
