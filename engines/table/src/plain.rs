//! Rows without quotes, where a field is what stands between two delimiters: no reader needs to look at each byte.

use wide::u8x16;

use crate::profile::Profile;
use crate::value::value_of;

/// The rows at the beginning of `bytes` that are there as a whole and before any quote.
pub(crate) fn whole_rows(bytes: &[u8]) -> &[u8] {
    let before = memchr::memchr(b'"', bytes).map_or(bytes, |quote| &bytes[..quote]);
    memchr::memrchr(b'\n', before).map_or(&[], |end| &before[..=end])
}

/// How many bytes are searched for marks before their fields are looked at.
const BATCH: usize = 4096;

/// Adds `rows`, which are whole and have no quotes, to `profile`. Rows end at line feeds and carriage returns, and those
/// without a byte are none. `marks` is room that is used again.
pub(crate) fn read(rows: &[u8], delimiter: u8, marks: &mut Vec<u32>, profile: &mut Profile) {
    let mut begin = 0;
    let mut column = 0;
    let mut offset = 0;
    // In two steps, each of which is small enough to be kept in registers.
    for batch in rows.chunks(BATCH) {
        marks.clear();
        find(batch, delimiter, marks);
        for mark in &*marks {
            let end = offset + *mark as usize;
            let field = rows.get(begin..end).unwrap_or_default();
            begin = end + 1;
            if let Some(column) = profile.columns.get_mut(column) {
                column.add(field, value_of(field));
            }
            column += 1;
            if rows.get(end) != Some(&delimiter) {
                if column > 1 || !field.is_empty() {
                    profile.rows += 1;
                    profile.ragged_rows += u64::from(column != profile.all_columns);
                }
                column = 0;
            }
        }
        offset += batch.len();
    }
}

/// Where in `batch` a field ends.
fn find(batch: &[u8], delimiter: u8, marks: &mut Vec<u32>) {
    let [delimiter, line, carriage] = [delimiter, b'\n', b'\r'].map(u8x16::splat);
    let marked = |block: u8x16| (block.simd_eq(delimiter) | block.simd_eq(line) | block.simd_eq(carriage)).to_bitmask();
    let mut note = |mut marked: u32, offset: u32| {
        while marked != 0 {
            marks.push(offset + marked.trailing_zeros());
            marked &= marked - 1;
        }
    };
    let (blocks, rest) = batch.as_chunks::<16>();
    let mut offset = 0;
    for block in blocks {
        note(marked(u8x16::new(*block)), offset);
        offset += 16;
    }
    // What fills the last block up is no mark, because a delimiter is not null.
    let mut block = [0; 16];
    block[..rest.len()].copy_from_slice(rest);
    note(marked(u8x16::new(block)), offset);
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
            read(text.as_bytes(), b',', &mut Vec::new(), &mut profile);
            assert_eq!((profile.rows, profile.ragged_rows), (2, 0), "{length}");
            assert_eq!(profile.columns[0].distinct(), if length == 0 { 0 } else { 2 }, "{length}");
            assert_eq!(profile.columns[1].lengths, Some((3, 3)), "{length}");
        }
    }
}
