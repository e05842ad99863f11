//! Rows without quotes, where a field is what stands between two delimiters: no reader needs to look at each byte.

use wide::u8x16;

use crate::profile::Profile;
use crate::value::value_of;

/// The rows at the beginning of `bytes` that are there as a whole and before any quote.
pub(crate) fn whole_rows(bytes: &[u8]) -> &[u8] {
    let before = memchr::memchr(b'"', bytes).map_or(bytes, |quote| &bytes[..quote]);
    memchr::memrchr(b'\n', before).map_or(&[], |end| &before[..=end])
}

/// Adds `rows`, which are whole and have no quotes, to `profile`. Rows end at line feeds and carriage returns, and those
/// without a byte are none.
pub(crate) fn read(rows: &[u8], delimiter: u8, profile: &mut Profile) {
    let mut row = Row { begin: 0, column: 0 };
    let marks = [delimiter, b'\n', b'\r'].map(u8x16::splat);
    let (blocks, rest) = rows.as_chunks::<16>();
    for (at, block) in blocks.iter().enumerate() {
        row.block(rows, at * 16, *block, marks, profile);
    }
    if !rest.is_empty() {
        // What fills the last block up is no mark, because a delimiter is not null.
        let mut block = [0; 16];
        block[..rest.len()].copy_from_slice(rest);
        row.block(rows, rows.len() - rest.len(), block, marks, profile);
    }
}

/// Where reading is.
struct Row {
    /// Where the current field begins.
    begin: usize,
    /// Which of its row it is.
    column: usize,
}

impl Row {
    #[inline(always)]
    fn block(&mut self, rows: &[u8], offset: usize, block: [u8; 16], marks: [u8x16; 3], profile: &mut Profile) {
        let bytes = u8x16::from(block);
        let [delimiter, line, carriage] = marks.map(|mark| bytes.simd_eq(mark));
        let ends = (line | carriage).to_bitmask();
        let mut marked = ends | delimiter.to_bitmask();
        while marked != 0 {
            let bit = marked.trailing_zeros();
            marked &= marked - 1;
            let end = offset + bit as usize;
            let field = rows.get(self.begin..end).unwrap_or_default();
            self.begin = end + 1;
            if let Some(column) = profile.columns.get_mut(self.column) {
                column.add(field, value_of(field));
            }
            self.column += 1;
            if ends & (1 << bit) != 0 {
                if self.column > 1 || !field.is_empty() {
                    profile.rows += 1;
                    profile.ragged_rows += u64::from(self.column != profile.all_columns);
                }
                self.column = 0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_rows_before_a_quote_are_plain() {
        assert_eq!(whole_rows(b"a\nb\nc"), b"a\nb\n");
        assert_eq!(whole_rows(b"a\nb,\"c\"\nd\n"), b"a\n");
        assert_eq!(whole_rows(b"\"a\"\nb\n"), b"");
        assert_eq!(whole_rows(b"a"), b"");
    }

    #[test]
    fn rows_of_every_length_are_cut_where_their_fields_end() {
        for length in 0..40 {
            let mut profile = Profile::new(9);
            profile.add_column(b"a");
            profile.add_column(b"b");
            let text = format!("{},{}\r\n\n{},\n", "x".repeat(length), "y".repeat(3), "z".repeat(length));
            read(text.as_bytes(), b',', &mut profile);
            assert_eq!((profile.rows, profile.ragged_rows), (2, 0), "{length}");
            assert_eq!(profile.columns[0].distinct(), if length == 0 { 0 } else { 2 }, "{length}");
            assert_eq!(profile.columns[1].lengths, Some((3, 3)), "{length}");
        }
    }
}
