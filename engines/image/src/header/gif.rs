//! GIF, by the crate `gif`.

use std::io::{BufRead, Seek};

use filemill_engine::Failure;
use gif::{DecodeOptions, MemoryLimit, Repeat};

use super::fields::{Animation, COUNTED_FRAMES, Format, Header, METADATA_BYTES, broken};
use crate::warning::Warning;

/// Reads the header, and walks over the frames without decoding them.
pub(super) fn read<R: BufRead + Seek>(input: &mut R) -> Result<Header, Failure> {
    let mut options = DecodeOptions::new();
    options.skip_frame_decoding(true);
    let bound = std::num::NonZeroU64::new(METADATA_BYTES as u64).unwrap_or(std::num::NonZeroU64::MIN);
    options.set_memory_limit(MemoryLimit::Bytes(bound));
    let mut decoder = options.read_info(input).map_err(|error| broken("the GIF's header", error))?;
    let mut header = Header::new(Format::Gif, u32::from(decoder.width()), u32::from(decoder.height()));
    header.color = "palette";

    let mut frames = 0;
    let mut duration_ms = 0;
    let mut counted_all = true;
    loop {
        if frames == COUNTED_FRAMES {
            counted_all = false;
            break;
        }
        match decoder.next_frame_info() {
            Ok(Some(frame)) => {
                frames += 1;
                // In hundredths of a second.
                duration_ms += u64::from(frame.delay) * 10;
                header.has_alpha |= frame.transparent.is_some();
                header.progressive |= frame.interlaced;
            }
            Ok(None) => break,
            Err(error) => {
                counted_all = false;
                header.warnings.push(Warning::damaged(format!("the GIF breaks off after {frames} frames: {error}")));
                break;
            }
        }
    }
    header.has_icc_profile = decoder.icc_profile().is_some();
    header.xmp = decoder.xmp_metadata().map(<[u8]>::to_vec);
    if frames > 1 {
        let plays = match decoder.repeat() {
            Repeat::Infinite => None,
            Repeat::Finite(times) => Some(u64::from(times) + 1),
        };
        header.animation = Some(Animation { frames, counted_all, duration_ms: Some(duration_ms), plays });
    }
    Ok(header)
}
