//! A picture made small while its rows come by, in memory that does not depend on its size.

/// The longer side of a thumbnail in pixels.
pub(crate) const THUMBNAIL_SIDE: u32 = 256;

/// One pixel: red, green, blue, opacity.
pub(crate) type Rgba = [u8; 4];

/// A small picture, row by row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Small {
    pub(crate) width: u32,
    pub(crate) height: u32,
    /// `width × height` of them.
    pub(crate) pixels: Vec<Rgba>,
}

/// What fell into one pixel of the thumbnail: sums of the samples, colours weighted with their opacity, so that what is
/// transparent does not show.
#[derive(Debug, Clone, Copy, Default)]
struct Cell {
    weighted: [u64; 3],
    opacity: u64,
    count: u64,
}

/// Takes the pixels of a large picture, in any order, and gives a small one: each of its pixels is the mean of those that
/// fall into it. A picture that is small already keeps its size.
#[derive(Debug)]
pub(crate) struct Sampler {
    from: (u32, u32),
    width: u32,
    height: u32,
    /// Which column of the thumbnail each column falls into.
    columns: Vec<u32>,
    cells: Vec<Cell>,
}

impl Sampler {
    /// For a picture of `width` by `height` pixels, both at least 1. Needs 4 bytes a column beside the thumbnail.
    pub(crate) fn new(width: u32, height: u32) -> Self {
        let longer = width.max(height);
        let scaled = |side: u32| match longer {
            0..=THUMBNAIL_SIDE => side,
            _ => scale(side, longer, THUMBNAIL_SIDE).max(1),
        };
        let (small_width, small_height) = (scaled(width), scaled(height));
        Self {
            from: (width, height),
            width: small_width,
            height: small_height,
            columns: (0..width).map(|x| scale(x, width, small_width)).collect(),
            cells: vec![Cell::default(); small_width as usize * small_height as usize],
        }
    }

    /// Takes `pixels`, which begin at column `left` of row `y`. What lies outside of the picture is ignored.
    pub(crate) fn row(&mut self, left: u32, y: u32, pixels: impl Iterator<Item = Rgba>) {
        if y >= self.from.1 {
            return;
        }
        let start = scale(y, self.from.1, self.height) as usize * self.width as usize;
        let row = &mut self.cells[start..start + self.width as usize];
        let columns = self.columns.get(left as usize..).unwrap_or_default();
        for (&column, [red, green, blue, opacity]) in columns.iter().zip(pixels) {
            let cell = &mut row[column as usize];
            let opacity = u64::from(opacity);
            cell.weighted[0] += u64::from(red) * opacity;
            cell.weighted[1] += u64::from(green) * opacity;
            cell.weighted[2] += u64::from(blue) * opacity;
            cell.opacity += opacity;
            cell.count += 1;
        }
    }

    /// The small picture. Where no pixel fell, it is transparent.
    pub(crate) fn finish(self) -> Small {
        let pixels = self.cells.iter().map(Cell::mean).collect();
        Small { width: self.width, height: self.height, pixels }
    }
}

impl Cell {
    fn mean(&self) -> Rgba {
        if self.opacity == 0 {
            return [0; 4];
        }
        let rounded = |sum: u64, by: u64| u8::try_from((sum + by / 2) / by).unwrap_or(u8::MAX);
        let [red, green, blue] = self.weighted.map(|sum| rounded(sum, self.opacity));
        [red, green, blue, rounded(self.opacity, self.count)]
    }
}

/// Where `position` out of `from` lies out of `to`.
fn scale(position: u32, from: u32, to: u32) -> u32 {
    u32::try_from(u64::from(position) * u64::from(to) / u64::from(from.max(1))).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_picture_stays_as_it_is() {
        let mut sampler = Sampler::new(2, 1);
        sampler.row(0, 0, [[1, 2, 3, 255], [9, 9, 9, 0]].into_iter());
        let small = sampler.finish();
        assert_eq!(small, Small { width: 2, height: 1, pixels: vec![[1, 2, 3, 255], [0; 4]] });
    }

    #[test]
    fn a_large_picture_becomes_the_mean_of_its_pixels_and_keeps_its_shape() {
        let mut sampler = Sampler::new(1024, 512);
        for y in 0..512 {
            sampler.row(0, y, (0..1024).map(|x| if x % 2 == 0 { [0, 0, 200, 255] } else { [100, 0, 0, 255] }));
        }
        let small = sampler.finish();
        assert_eq!((small.width, small.height), (256, 128));
        assert!(small.pixels.iter().all(|pixel| *pixel == [50, 0, 100, 255]));
    }

    #[test]
    fn what_is_transparent_lends_no_colour() {
        let mut sampler = Sampler::new(512, 1);
        sampler.row(0, 0, [[200, 0, 0, 255], [0, 255, 0, 0]].into_iter());
        assert_eq!(sampler.finish().pixels[0], [200, 0, 0, 128]);
    }

    #[test]
    fn pixels_outside_are_ignored() {
        let mut sampler = Sampler::new(2, 2);
        sampler.row(1, 0, [[1; 4]; 9].into_iter());
        sampler.row(7, 1, [[1; 4]; 9].into_iter());
        sampler.row(0, 7, [[1; 4]; 9].into_iter());
        assert_eq!(sampler.finish().pixels, [[0; 4], [1; 4], [0; 4], [0; 4]]);
    }

    #[test]
    fn a_very_long_picture_keeps_a_pixel_of_its_shorter_side() {
        let small = Sampler::new(1_000_000, 1).finish();
        assert_eq!((small.width, small.height), (256, 1));
    }
}
