//! What a small picture looks like: colours, a perceptual hash, a file to show.

use png::{BitDepth, ColorType, Compression, Encoder};

use crate::report::Share;
use crate::sampler::{Rgba, Small};

/// How many dominant colours are told.
const DOMINANT: usize = 5;

/// Sides of the grid that a hash is made of: nine gradients' ends in each of eight rows.
const HASH_WIDTH: u32 = 9;
const HASH_HEIGHT: u32 = 8;

impl Small {
    /// The picture turned and mirrored as EXIF's `Orientation` says, 1 to 8 (TIFF 6.0, tag 274). Any other value leaves it.
    pub(crate) fn oriented(self, orientation: u32) -> Self {
        let (width, height) = (self.width, self.height);
        let turned = (5..=8).contains(&orientation);
        let (to_width, to_height) = if turned { (height, width) } else { (width, height) };
        // Where the pixel that is shown at (x, y) is stored.
        let stored = |x: u32, y: u32| match orientation {
            2 => (width - 1 - x, y),
            3 => (width - 1 - x, height - 1 - y),
            4 => (x, height - 1 - y),
            5 => (y, x),
            6 => (y, height - 1 - x),
            7 => (width - 1 - y, height - 1 - x),
            8 => (width - 1 - y, x),
            _ => (x, y),
        };
        let mut pixels = Vec::with_capacity(self.pixels.len());
        for y in 0..to_height {
            for x in 0..to_width {
                let (x, y) = stored(x, y);
                pixels.push(self.pixel(x, y));
            }
        }
        Self { width: to_width, height: to_height, pixels }
    }

    fn pixel(&self, x: u32, y: u32) -> Rgba {
        self.pixels.get((y as usize * self.width as usize) + x as usize).copied().unwrap_or_default()
    }

    /// The mean of all pixels that are not transparent, as `#rrggbb`.
    pub(crate) fn average_color(&self) -> Option<String> {
        let mut sums = [0_u64; 3];
        let mut weight = 0;
        for [red, green, blue, opacity] in &self.pixels {
            for (sum, sample) in sums.iter_mut().zip([red, green, blue]) {
                *sum += u64::from(*sample) * u64::from(*opacity);
            }
            weight += u64::from(*opacity);
        }
        (weight > 0).then(|| hex(sums.map(|sum| sum / weight)))
    }

    /// The colours that most pixels are close to: the fullest cells of a grid of 8 × 8 × 8 over the colour space, each told
    /// as the mean of what fell into it, with its share of the pixels that are not transparent.
    pub(crate) fn dominant_colors(&self) -> Vec<Share> {
        let mut cells = vec![([0_u64; 3], 0_u64); 512];
        let mut counted = 0;
        for &[red, green, blue, opacity] in &self.pixels {
            if opacity < 128 {
                continue;
            }
            let index = usize::from(red >> 5) << 6 | usize::from(green >> 5) << 3 | usize::from(blue >> 5);
            let (sums, count) = &mut cells[index];
            for (sum, sample) in sums.iter_mut().zip([red, green, blue]) {
                *sum += u64::from(sample);
            }
            *count += 1;
            counted += 1;
        }
        // The sort is stable, and the cells are in a fixed order: the same picture gives the same list.
        cells.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let shown = cells.into_iter().take(DOMINANT).filter(|(_, count)| *count > 0);
        shown
            .map(|(sums, count)| Share {
                color: hex(sums.map(|sum| sum / count)),
                percent: (count * 1000 / counted) as f64 / 10.0,
            })
            .collect()
    }

    /// The difference hash ("dHash") of Neal Krawetz, *Kind of Like That*, The Hacker Factor Blog, 2013-01-21: in shades of
    /// gray, reduced to 9 × 8 pixels, one bit for each neighbour to the right that is brighter, row by row. Pictures whose
    /// hashes differ in few of the 64 bits look alike; scaling, compression and small changes of colour leave it.
    pub(crate) fn difference_hash(&self) -> u64 {
        let mut hash = 0;
        for y in 0..HASH_HEIGHT {
            let mut left = self.luminance(0, y);
            for x in 1..HASH_WIDTH {
                let right = self.luminance(x, y);
                hash = hash << 1 | u64::from(left < right);
                left = right;
            }
        }
        hash
    }

    /// Mean luminance (ITU-R BT.601, in thousandths) of cell (`x`, `y`) of the hash's grid; what is transparent is white.
    fn luminance(&self, x: u32, y: u32) -> u64 {
        let span = |cell: u32, cells: u32, side: u32| {
            let start = (cell * side / cells).min(side.saturating_sub(1));
            start..((cell + 1) * side / cells).clamp(start + 1, side.max(start + 1))
        };
        let mut sum = 0;
        let mut count = 0;
        for row in span(y, HASH_HEIGHT, self.height) {
            for column in span(x, HASH_WIDTH, self.width) {
                let [red, green, blue, opacity] = self.pixel(column, row).map(u64::from);
                let luminance = red * 299 + green * 587 + blue * 114;
                sum += (luminance * opacity + 255_000 * (255 - opacity)) / 255;
                count += 1;
            }
        }
        sum / count.max(1)
    }

    /// The picture as a PNG file; without an alpha channel where nothing is transparent.
    ///
    /// # Errors
    ///
    /// The encoder's, which has no reason to give one.
    pub(crate) fn to_png(&self) -> Result<Vec<u8>, png::EncodingError> {
        let is_opaque = self.pixels.iter().all(|pixel| pixel[3] == u8::MAX);
        let mut file = Vec::new();
        let mut encoder = Encoder::new(&mut file, self.width, self.height);
        encoder.set_depth(BitDepth::Eight);
        encoder.set_compression(Compression::High);
        let samples: Vec<u8> = if is_opaque {
            encoder.set_color(ColorType::Rgb);
            self.pixels.iter().flat_map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect()
        } else {
            encoder.set_color(ColorType::Rgba);
            self.pixels.iter().flatten().copied().collect()
        };
        let mut writer = encoder.write_header()?;
        writer.write_image_data(&samples)?;
        writer.finish()?;
        Ok(file)
    }
}

fn hex([red, green, blue]: [u64; 3]) -> String {
    format!("#{red:02x}{green:02x}{blue:02x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small(width: u32, height: u32, pixel: impl Fn(u32, u32) -> Rgba) -> Small {
        let pixels = (0..height).flat_map(|y| (0..width).map(move |x| (x, y))).map(|(x, y)| pixel(x, y)).collect();
        Small { width, height, pixels }
    }

    #[test]
    fn every_orientation_brings_the_stored_corner_to_its_place() {
        // Where the first stored pixel of a picture of 3 × 2 is shown.
        let places =
            [(1, (0, 0)), (2, (2, 0)), (3, (2, 1)), (4, (0, 1)), (5, (0, 0)), (6, (1, 0)), (7, (1, 2)), (8, (0, 2))];
        for (orientation, (x, y)) in places {
            let picture = small(3, 2, |x, y| if (x, y) == (0, 0) { [9; 4] } else { [0; 4] }).oriented(orientation);
            assert_eq!(picture.pixel(x, y), [9; 4], "{orientation}");
            assert_eq!(picture.width, if orientation > 4 { 2 } else { 3 }, "{orientation}");
        }
    }

    #[test]
    fn a_picture_that_brightens_to_the_right_has_every_bit_set() {
        let brightening = small(90, 80, |x, _| [u8::try_from(x * 2).expect("small"), 0, 0, 255]);
        assert_eq!(brightening.difference_hash(), u64::MAX);
        assert_eq!(small(90, 80, |_, _| [7, 7, 7, 255]).difference_hash(), 0);
        // Fewer pixels than the grid has cells.
        assert_eq!(small(1, 1, |_, _| [7, 7, 7, 255]).difference_hash(), 0);
    }

    #[test]
    fn the_hash_outlives_scaling() {
        let at = |size: u32| {
            small(size, size, move |x, y| {
                let wave = (x * 7 / size * 37 + y * 5 / size * 91) % 256;
                [u8::try_from(wave).expect("a byte"), 40, 90, 255]
            })
        };
        let distance = (at(256).difference_hash() ^ at(100).difference_hash()).count_ones();
        assert!(distance <= 6, "{distance} bits");
    }

    #[test]
    fn colours_are_those_of_what_can_be_seen() {
        let picture = small(10, 1, |x, _| match x {
            0..=5 => [255, 0, 0, 255],
            6..=7 => [0, 0, 255, 255],
            _ => [0, 255, 0, 0],
        });
        assert_eq!(picture.average_color().as_deref(), Some("#bf003f"));
        let shares = picture.dominant_colors();
        assert_eq!(shares.len(), 2);
        assert_eq!((shares[0].color.as_str(), shares[0].percent), ("#ff0000", 75.0));
        assert_eq!(small(2, 2, |_, _| [9, 9, 9, 0]).average_color(), None);
    }

    #[test]
    fn the_png_can_be_read_again() {
        for opacity in [255, 254] {
            let picture = small(3, 2, |x, y| [u8::try_from(x * 10 + y).expect("small"), 0, 0, opacity]);
            let file = picture.to_png().expect("encoded");
            let mut reader = png::Decoder::new(std::io::Cursor::new(file)).read_info().expect("a PNG");
            assert_eq!(reader.info().size(), (3, 2));
            assert_eq!(reader.info().color_type, if opacity == 255 { ColorType::Rgb } else { ColorType::Rgba });
            assert_eq!(reader.next_row().expect("a row").expect("one").data()[0], 0);
        }
    }
}
