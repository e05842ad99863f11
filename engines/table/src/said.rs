//! What the engine reports.

use schemars::JsonSchema;
use serde::Serialize;
use speedate::{Date, DateConfig, DateTime, DateTimeConfig, Time, TimestampUnit};

use crate::column::{Column, Kinds};
use crate::numbers::{Numbers, quantile};
use crate::profile::Profile;

/// The report.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Said {
    /// `delimited` or `json-lines`.
    #[schemars(title = "Format", extend("x-format" = "text", "x-column" = true))]
    pub(crate) format: &'static str,
    /// What stands between fields.
    #[schemars(title = "Delimiter", extend("x-format" = "text"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) delimiter: Option<char>,
    /// Whether the first row names the columns.
    #[schemars(title = "Header")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) header: Option<bool>,
    /// How many bytes were read.
    #[schemars(title = "Size", extend("x-unit" = "By", "x-format" = "bytes"))]
    pub(crate) bytes: u64,
    /// Rows without the header.
    #[schemars(title = "Rows", extend("x-format" = "count", "x-column" = true))]
    pub(crate) rows: u64,
    /// How many columns there are.
    #[schemars(title = "Columns", extend("x-format" = "count", "x-column" = true))]
    pub(crate) columns: usize,
    /// Rows with more or fewer fields than the first one.
    #[schemars(title = "Ragged rows", extend("x-format" = "count"))]
    pub(crate) ragged_rows: u64,
    /// Rows that could not be read.
    #[schemars(title = "Broken rows", extend("x-format" = "count"))]
    pub(crate) broken_rows: u64,
    /// The first of them, counted from 1.
    #[schemars(title = "First broken row")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) first_broken_row: Option<u64>,
    /// The columns that were looked at, in the file's order.
    #[schemars(title = "Profile", extend("x-format" = "table"))]
    pub(crate) profile: Vec<ColumnSaid>,
}

/// One column.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct ColumnSaid {
    /// As the header says, or by its number.
    #[schemars(title = "Name", extend("x-format" = "text"))]
    pub(crate) name: String,
    /// The kind that most values are of.
    #[schemars(title = "Type")]
    #[serde(rename = "type")]
    pub(crate) kind: Kind,
    /// Fields that hold something.
    #[schemars(title = "Values", extend("x-format" = "count"))]
    pub(crate) values: u64,
    /// Fields that are empty, missing, or a word for that.
    #[schemars(title = "Nulls", extend("x-format" = "count"))]
    pub(crate) nulls: u64,
    /// About how many different values there are, with a standard error of 1.6 %.
    #[schemars(title = "Distinct", extend("x-format" = "count"))]
    pub(crate) distinct: u64,
    /// Values that are not of the column's type.
    #[schemars(title = "Exceptions", extend("x-format" = "count"))]
    pub(crate) exceptions: u64,
    /// The first value, cut.
    #[schemars(title = "Example", extend("x-format" = "text"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) example: Option<String>,
    /// Of the values that are numbers.
    #[schemars(title = "Numbers")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) numbers: Option<NumbersSaid>,
    /// Of the values that are dates or times.
    #[schemars(title = "Moments")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) moments: Option<Moments>,
    /// Of the values that are text.
    #[schemars(title = "Text")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) text: Option<Lengths>,
    /// The artifact with the numbers' histogram.
    #[schemars(title = "Histogram", extend("x-format" = "text"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) histogram: Option<String>,
}

/// A column's type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// There is not one value.
    Empty,
    /// Whole numbers.
    Integer,
    /// Numbers, some of them with a fraction.
    Float,
    /// Yes and no.
    Boolean,
    /// Days.
    Date,
    /// Days with a time.
    DateTime,
    /// Times of day.
    Time,
    /// Objects and lists.
    Nested,
    /// Anything.
    Text,
}

/// What numbers come to. What has no value in JSON, such as a sum beyond all numbers, is null.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct NumbersSaid {
    #[schemars(title = "Minimum")]
    least: f64,
    #[schemars(title = "5 %")]
    p05: f64,
    #[schemars(title = "25 %")]
    p25: f64,
    #[schemars(title = "Median")]
    median: f64,
    #[schemars(title = "75 %")]
    p75: f64,
    #[schemars(title = "95 %")]
    p95: f64,
    #[schemars(title = "Maximum")]
    most: f64,
    #[schemars(title = "Mean")]
    mean: f64,
    #[schemars(title = "Standard deviation")]
    standard_deviation: f64,
    /// Whether the quantiles are of all numbers, and not of a sample.
    #[schemars(title = "Exact")]
    exact: bool,
}

/// The first and the last moment, in ISO 8601.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Moments {
    #[schemars(title = "First", extend("x-format" = "text"))]
    first: String,
    #[schemars(title = "Last", extend("x-format" = "text"))]
    last: String,
}

/// How long texts are.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Lengths {
    #[schemars(title = "Shortest", extend("x-unit" = "By", "x-format" = "bytes"))]
    shortest: usize,
    #[schemars(title = "Longest", extend("x-unit" = "By", "x-format" = "bytes"))]
    longest: usize,
}

impl ColumnSaid {
    /// What `column` of `profile` comes to; `sorted` are the numbers that were kept of it.
    pub(crate) fn of(profile: &Profile, column: &Column, sorted: &[f64]) -> Self {
        let values = column.kinds.values();
        let (kind, fitting) = kind_of(&column.kinds);
        Self {
            name: column.name.clone(),
            kind,
            values,
            nulls: profile.nulls(column),
            distinct: column.distinct(),
            exceptions: values - fitting,
            example: column.example.clone(),
            numbers: column.numbers.as_deref().and_then(|numbers| NumbersSaid::of(numbers, sorted)),
            moments: column
                .moments
                .map(|(first, last)| Moments { first: moment(kind, first), last: moment(kind, last) }),
            text: column.lengths.map(|(shortest, longest)| Lengths { shortest, longest }),
            histogram: None,
        }
    }
}

impl NumbersSaid {
    fn of(numbers: &Numbers, sorted: &[f64]) -> Option<Self> {
        let at = |rank| quantile(sorted, rank);
        Some(Self {
            least: numbers.least(),
            p05: to_digits(at(0.05)?),
            p25: to_digits(at(0.25)?),
            median: to_digits(at(0.5)?),
            p75: to_digits(at(0.75)?),
            p95: to_digits(at(0.95)?),
            most: numbers.most(),
            mean: to_digits(numbers.mean()),
            standard_deviation: to_digits(numbers.standard_deviation()),
            exact: numbers.count() == sorted.len() as u64,
        })
    }
}

impl Said {
    /// The report in one line.
    pub(crate) fn summary(&self) -> String {
        let counted = |count: u64, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
        let mut line = format!("{}, {}", counted(self.rows, "row"), counted(self.columns as u64, "column"));
        if self.ragged_rows > 0 {
            line.push_str(&format!(", {} ragged", self.ragged_rows));
        }
        if self.broken_rows > 0 {
            line.push_str(&format!(", {} broken", self.broken_rows));
        }
        line
    }
}

/// The kind that most values are of, and how many are. Whole numbers are floats too, where there are any, and dates are days
/// with a time.
fn kind_of(kinds: &Kinds) -> (Kind, u64) {
    let numbers = kinds.integer + kinds.float;
    let moments = kinds.date + kinds.date_time;
    [
        (if kinds.float > 0 { Kind::Float } else { Kind::Integer }, numbers),
        (Kind::Boolean, kinds.boolean),
        (if kinds.date_time > 0 { Kind::DateTime } else { Kind::Date }, moments),
        (Kind::Time, kinds.time),
        (Kind::Nested, kinds.nested),
        (Kind::Text, kinds.text),
    ]
    .into_iter()
    .rev()
    .filter(|(_, count)| *count > 0)
    .max_by_key(|(_, count)| *count)
    .unwrap_or((Kind::Empty, 0))
}

/// A moment as a column of this kind would write it.
fn moment(kind: Kind, seconds: i64) -> String {
    let unit = TimestampUnit::Second;
    let written = match kind {
        Kind::Time => u32::try_from(seconds)
            .ok()
            .and_then(|seconds| Time::from_timestamp(seconds, 0).ok())
            .map(|time| time.to_string()),
        Kind::Date => {
            let config = DateConfig { timestamp_unit: unit };
            Date::from_timestamp(seconds, false, &config).ok().map(|date| date.to_string())
        }
        _ => {
            let config = DateTimeConfig { timestamp_unit: unit, ..DateTimeConfig::default() };
            DateTime::from_timestamp_with_config(seconds, 0, &config).ok().map(|moment| moment.to_string())
        }
    };
    written.unwrap_or_default()
}

/// To twelve digits: what a sum of many numbers, or a number between two, is good for.
fn to_digits(number: f64) -> f64 {
    format!("{number:.11e}").parse().unwrap_or(number)
}
