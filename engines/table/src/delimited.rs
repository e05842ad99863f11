//! Rows of fields with something between them: CSV and what is like it.

use csv_core::{ReadRecordResult, Reader};
use filemill_engine::Failure;

use crate::detect;
use crate::plain;
use crate::profile::Profile;

/// The longest row. A longer one is a quote that is never closed.
pub(crate) const ROW_BYTES: usize = 4 << 20;

/// How much is searched for a quote before its rows are read: it stays in the nearest cache.
const AT_ONCE: usize = 16 << 10;

/// The most fields of a row.
const FIELDS: usize = 1 << 16;

/// Reads rows piece by piece; its memory is that of one row.
pub(crate) struct Delimited {
    reader: Reader,
    /// The fields of the current row, end to end, and where each of them ends.
    text: Vec<u8>,
    ends: Vec<usize>,
    /// How much of both is filled.
    written: usize,
    ended: usize,
    /// Whether the first row names the columns; nothing: as it looks.
    header: Option<bool>,
    started: bool,
    /// Whether the reader is between two rows.
    between: bool,
    delimiter: u8,
    marks: Box<plain::Marks>,
    profile: Profile,
}

impl Delimited {
    pub(crate) fn new(delimiter: u8, header: Option<bool>, profile: Profile) -> Self {
        Self {
            reader: detect::reader(delimiter),
            text: vec![0; 4096],
            ends: vec![0; 64],
            written: 0,
            ended: 0,
            header,
            started: false,
            between: true,
            delimiter,
            marks: Box::new([0; _]),
            profile,
        }
    }

    /// Reads the next bytes.
    ///
    /// # Errors
    ///
    /// [`Failure::Malformed`], for a row that is too long.
    pub(crate) fn feed(&mut self, mut bytes: &[u8]) -> Result<(), Failure> {
        // To be asked with nothing means the end to the reader.
        while !bytes.is_empty() {
            if self.started && self.between {
                let rows = plain::whole_rows(&bytes[..bytes.len().min(AT_ONCE)]);
                plain::read(rows, self.delimiter, &mut self.marks, &mut self.profile);
                if !rows.is_empty() {
                    bytes = &bytes[rows.len()..];
                    continue;
                }
            }
            bytes = &bytes[self.step(bytes)?..];
        }
        Ok(())
    }

    /// Reads the last row, and returns the profile and whether the first row named the columns.
    ///
    /// # Errors
    ///
    /// As [`feed`](Self::feed).
    pub(crate) fn finish(mut self) -> Result<(Profile, bool), Failure> {
        // The first call ends the last row, if there is one; another has nothing more to say.
        for _ in 0..2 {
            self.step(&[])?;
        }
        Ok((self.profile, self.header == Some(true)))
    }

    /// Lets the reader go on until a row is there or there is no room, and returns how much of `bytes` it took.
    fn step(&mut self, bytes: &[u8]) -> Result<usize, Failure> {
        let (result, read, written, ended) =
            self.reader.read_record(bytes, &mut self.text[self.written..], &mut self.ends[self.ended..]);
        self.written += written;
        self.ended += ended;
        self.between = matches!(result, ReadRecordResult::Record);
        match result {
            ReadRecordResult::Record => {
                self.row();
                self.written = 0;
                self.ended = 0;
            }
            ReadRecordResult::OutputFull if self.text.len() < ROW_BYTES => grow(&mut self.text, ROW_BYTES),
            ReadRecordResult::OutputEndsFull if self.ends.len() < FIELDS => grow(&mut self.ends, FIELDS),
            ReadRecordResult::OutputFull => return Err(self.too_long(ROW_BYTES, "bytes")),
            ReadRecordResult::OutputEndsFull => return Err(self.too_long(FIELDS, "fields")),
            ReadRecordResult::InputEmpty | ReadRecordResult::End => {}
        }
        Ok(read)
    }

    fn row(&mut self) {
        let ends = &self.ends[..self.ended];
        if !self.started {
            self.started = true;
            let mut begin = 0;
            let first: Vec<&[u8]> =
                ends.iter().map(|end| &self.text[std::mem::replace(&mut begin, *end)..*end]).collect();
            let header = self.header.unwrap_or_else(|| detect::has_header(&first));
            self.header = Some(header);
            for name in &first {
                self.profile.add_column(if header { name } else { b"" });
            }
            if header {
                return;
            }
        }
        self.profile.rows += 1;
        self.profile.ragged_rows += u64::from(ends.len() != self.profile.all_columns);
        let mut begin = 0;
        for (column, end) in self.profile.columns.iter_mut().zip(ends) {
            let field = &self.text[begin..*end];
            begin = *end;
            column.add_written(field);
        }
    }

    fn too_long(&self, most: usize, what: &str) -> Failure {
        let row = self.profile.rows + 1 + u64::from(self.header == Some(true));
        Failure::malformed(format!(
            "row {row} has more than {most} {what}; hint: look there for a quote that is not closed, or set `delimiter`"
        ))
    }
}

/// Doubles `buffer`, up to `most`.
fn grow<T: Default + Clone>(buffer: &mut Vec<T>, most: usize) {
    buffer.resize((buffer.len() * 2).min(most), T::default());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8], piece: usize) -> (Profile, bool) {
        let mut rows = Delimited::new(b',', None, Profile::new(100));
        for piece in text.chunks(piece) {
            rows.feed(piece).expect("sound");
        }
        rows.finish().expect("sound")
    }

    #[test]
    fn pieces_and_line_ends_make_no_difference() {
        for text in ["a,b\n1,x\n2,\"y,\"\"z\"\n", "a,b\r\n1,x\r\n2,\"y,\"\"z\"", "\n\na,b\n\n1,x\n2,\"y,\"\"z\"\n\n"] {
            for piece in 1..=text.len() {
                let (profile, header) = read(text.as_bytes(), piece);
                assert!(header, "{text:?} by {piece}");
                assert_eq!((profile.rows, profile.ragged_rows, profile.all_columns), (2, 0, 2), "{text:?} by {piece}");
                assert_eq!(profile.columns[1].lengths, Some((1, 4)), "{text:?} by {piece}");
            }
        }
    }

    #[test]
    fn rows_with_quotes_and_without_are_read_alike() {
        // The same table: once without quotes, once with some, once with all of them.
        let rows = |quote: fn(u32) -> bool| {
            let field = |at: u32, text: String| if quote(at) { format!("\"{text}\"") } else { text };
            let row =
                |at: u32| format!("{},{},\r\n", field(at, at.to_string()), field(at + 1, format!("n {}", at % 7)));
            "id,name,rest\n".to_owned() + &(0..500).map(row).collect::<String>()
        };
        let told = |text: String, piece: usize| {
            let (profile, _) = read(text.as_bytes(), piece);
            let columns: Vec<_> = profile.columns.iter().map(|column| (column.distinct(), column.lengths)).collect();
            (profile.rows, profile.ragged_rows, columns)
        };
        let expected = (500, 0, vec![(500, None), (7, Some((3, 3))), (0, None)]);
        for piece in [1, 2, 15, 16, 17, 100, 1 << 20] {
            assert_eq!(told(rows(|_| false), piece), expected, "{piece}");
            assert_eq!(told(rows(|at| at % 5 == 0), piece), expected, "{piece}");
            assert_eq!(told(rows(|_| true), piece), expected, "{piece}");
        }
    }

    #[test]
    fn rows_of_other_lengths_are_counted_and_what_they_lack_is_null() {
        let (profile, _) = read(b"a,b\n1\n1,2,3\n1,2\n", 7);
        assert_eq!((profile.rows, profile.ragged_rows), (3, 2));
        assert_eq!(profile.nulls(&profile.columns[1]), 1);
    }

    #[test]
    fn a_row_without_end_is_malformed_and_takes_bounded_memory() {
        let mut rows = Delimited::new(b',', None, Profile::new(100));
        rows.feed(b"a,b\n1,\"").expect("sound");
        let piece = vec![b'x'; 1 << 20];
        let failure = (0..10).find_map(|_| rows.feed(&piece).err()).expect("too long");
        assert!(matches!(&failure, Failure::Malformed(why) if why.starts_with("row 2 has more than")), "{failure:?}");

        let mut rows = Delimited::new(b',', None, Profile::new(100));
        let failure = (0..10).find_map(|_| rows.feed(&vec![b','; 1 << 15]).err()).expect("too many");
        assert!(failure.sentence().contains("65536 fields"), "{failure:?}");
    }

    #[test]
    fn columns_beyond_the_bound_are_counted_and_not_looked_at() {
        let mut rows = Delimited::new(b',', None, Profile::new(2));
        rows.feed(b"a,b,c\n1,2,3\n").expect("sound");
        let (profile, _) = rows.finish().expect("sound");
        assert_eq!((profile.columns.len(), profile.all_columns, profile.ragged_rows), (2, 3, 0));
    }
}
