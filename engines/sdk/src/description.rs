//! What an engine says about itself.

use schemars::{JsonSchema, generate::SchemaSettings};

/// What an engine says about itself: made by [`description!`](crate::description), completed by its methods.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) summary: String,
    pub(crate) media_types: Vec<String>,
    pub(crate) extensions: Vec<String>,
    pub(crate) first_bytes: Vec<Vec<u8>>,
    pub(crate) runs_locally: bool,
    pub(crate) seekable: bool,
    pub(crate) parameter_schema: String,
    pub(crate) report_schema: String,
}

/// A [`Description`] with the name, version and description of the crate it stands in.
#[macro_export]
macro_rules! description {
    () => {
        $crate::Description::new(
            ::core::env!("CARGO_PKG_NAME"),
            ::core::env!("CARGO_PKG_VERSION"),
            ::core::env!("CARGO_PKG_DESCRIPTION"),
        )
    };
}

impl Description {
    /// An engine that reads any kind of file in order, takes no parameters, and says nothing about its report.
    ///
    /// `name` is short, `[a-z0-9-]`, at most 64 bytes; `version` is SemVer; `summary` one sentence of at most 512 bytes.
    pub fn new(name: impl Into<String>, version: impl Into<String>, summary: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            version: version.into(),
            summary: summary.into(),
            media_types: Vec::new(),
            extensions: Vec::new(),
            first_bytes: Vec::new(),
            runs_locally: false,
            seekable: false,
            parameter_schema: String::new(),
            report_schema: String::new(),
        }
    }

    /// Media types that the engine understands, `image/png` or `text/*`, at most 64.
    #[must_use]
    pub fn media_types<T: Into<String>>(mut self, types: impl IntoIterator<Item = T>) -> Self {
        self.media_types = types.into_iter().map(Into::into).collect();
        self
    }

    /// Ends of file names that the engine reads, in lower case and without the dot, `zip` or `tar.gz`, at most 256 of at most 32
    /// bytes: for kinds of files whose names stand for no media type, or for another than those above. They travel as `x-extensions` at the
    /// root of the report's schema.
    #[must_use]
    pub fn extensions<T: Into<String>>(mut self, extensions: impl IntoIterator<Item = T>) -> Self {
        self.extensions = extensions.into_iter().map(Into::into).collect();
        self
    }

    /// First bytes of files that the engine reads, at most 64 of 1 to 64 bytes: for files whose names say nothing. They travel as
    /// `x-first-bytes`, in hex, at the root of the report's schema.
    #[must_use]
    pub fn first_bytes<T: Into<Vec<u8>>>(mut self, first_bytes: impl IntoIterator<Item = T>) -> Self {
        self.first_bytes = first_bytes.into_iter().map(Into::into).collect();
        self
    }

    /// Clients may run the engine on their own machine: it needs nothing that only processors have. It travels as `x-local` at the root
    /// of the report's schema.
    #[must_use]
    pub fn runs_locally(mut self) -> Self {
        self.runs_locally = true;
        self
    }

    /// The engine reads by offset too, so that it runs only when the file is there as a whole.
    #[must_use]
    pub fn seekable(mut self) -> Self {
        self.seekable = true;
        self
    }

    /// The parameters' JSON Schema, from their type: what stands in its doc comments and `#[schemars(…)]` attributes.
    #[must_use]
    pub fn parameters<P: JsonSchema>(self) -> Self {
        let schema = schema_of::<P>();
        self.parameter_schema(schema)
    }

    /// The parameters' JSON Schema (2020-12), written out.
    #[must_use]
    pub fn parameter_schema(mut self, schema: impl Into<String>) -> Self {
        self.parameter_schema = schema.into();
        self
    }

    /// The report's JSON Schema, from its type, with what tells a reader how to show it, such as
    /// `#[schemars(title = "Size", extend("x-unit" = "By", "x-format" = "bytes", "x-column" = true))]` on a field.
    #[must_use]
    pub fn report<R: JsonSchema>(self) -> Self {
        let schema = schema_of::<R>();
        self.report_schema(schema)
    }

    /// The report's JSON Schema (2020-12), written out.
    #[must_use]
    pub fn report_schema(mut self, schema: impl Into<String>) -> Self {
        self.report_schema = schema.into();
        self
    }

    /// Checks what can be checked without a host; meant for an engine's tests.
    ///
    /// # Errors
    ///
    /// A sentence that names the member which breaks the contract.
    pub fn check(&self) -> Result<(), String> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if self.name.is_empty() || self.name.len() > 64 || !self.name.bytes().all(plain) {
            return Err(format!("the name `{}` is not 1 to 64 of `[a-z0-9-]`", self.name));
        }
        if self.version.split('.').count() < 3 || !self.version.starts_with(|first: char| first.is_ascii_digit()) {
            return Err(format!("the version `{}` is not SemVer", self.version));
        }
        if self.summary.is_empty() || self.summary.len() > 512 || self.summary.contains(char::is_control) {
            return Err("the summary is not one line of 1 to 512 bytes".into());
        }
        if self.media_types.len() > 64 {
            return Err("there are more than 64 media types".into());
        }
        if let Some(odd) = self.media_types.iter().find(|media_type| media_type.split('/').count() != 2) {
            return Err(format!("`{odd}` is no media type"));
        }
        if self.extensions.len() > 256 {
            return Err("there are more than 256 extensions".into());
        }
        let plain = |character: char| character.is_alphanumeric() || "._+-".contains(character);
        let is_extension = |text: &String| {
            (1..=32).contains(&text.len())
                && text.starts_with(char::is_alphanumeric)
                && text.chars().all(plain)
                && *text == text.to_lowercase()
        };
        if let Some(odd) = self.extensions.iter().find(|extension| !is_extension(extension)) {
            return Err(format!("`{odd}` is no end of a file name: lower case, and without the dot before it"));
        }
        if self.first_bytes.len() > 64 || self.first_bytes.iter().any(|bytes| !(1..=64).contains(&bytes.len())) {
            return Err("the first bytes are not at most 64 beginnings of 1 to 64 bytes".into());
        }
        for (what, schema) in [("parameters", &self.parameter_schema), ("report", &self.report_schema)] {
            let parsed = serde_json::from_str::<serde_json::Value>(schema);
            if !schema.is_empty() && !parsed.is_ok_and(|schema| schema.is_object()) {
                return Err(format!("the schema of the {what} is no JSON object"));
            }
        }
        Ok(())
    }
}

impl Description {
    /// The report's schema with what the contract has no member for.
    pub(crate) fn whole_report_schema(&self) -> String {
        if self.extensions.is_empty() && self.first_bytes.is_empty() && !self.runs_locally {
            return self.report_schema.clone();
        }
        let schema = if self.report_schema.is_empty() { "{}" } else { &self.report_schema };
        match serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(schema) {
            Ok(mut schema) => {
                if !self.extensions.is_empty() {
                    schema.insert("x-extensions".to_owned(), self.extensions.clone().into());
                }
                if !self.first_bytes.is_empty() {
                    let in_hex: Vec<_> = self.first_bytes.iter().map(|bytes| hex(bytes)).collect();
                    schema.insert("x-first-bytes".to_owned(), in_hex.into());
                }
                if self.runs_locally {
                    schema.insert("x-local".to_owned(), true.into());
                }
                serde_json::Value::Object(schema).to_string()
            }
            // The host says what is wrong with it.
            Err(_) => self.report_schema.clone(),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The schema of `T` in one line. Definitions stand where they are used, so that a reader needs to follow no references.
fn schema_of<T: JsonSchema>() -> String {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    settings.into_generator().into_root_schema_for::<T>().to_value().to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// A report.
    #[derive(JsonSchema)]
    #[expect(dead_code, reason = "only its schema is of interest")]
    struct Rows {
        #[schemars(title = "Rows", extend("x-format" = "count", "x-column" = true))]
        rows: u64,
        /// Each of them.
        columns: Vec<Column>,
    }

    #[derive(JsonSchema)]
    #[expect(dead_code, reason = "only its schema is of interest")]
    struct Column {
        name: String,
    }

    #[test]
    fn a_schema_has_its_display_hints_and_no_references() {
        let description = crate::description!().report::<Rows>();
        description.check().expect("sound");
        let schema: Value = serde_json::from_str(&description.report_schema).expect("JSON");
        assert_eq!(schema["properties"]["rows"]["x-format"], json!("count"));
        assert_eq!(schema["properties"]["rows"]["title"], json!("Rows"));
        assert_eq!(schema["properties"]["columns"]["items"]["properties"]["name"]["type"], json!("string"));
        assert!(!description.report_schema.contains("$ref"), "{}", description.report_schema);
    }

    #[test]
    fn extensions_stand_in_the_reports_schema() {
        let described = |description: Description| description.extensions(["tgz", "tar.gz"]).whole_report_schema();
        let schema: Value = serde_json::from_str(&described(crate::description!().report::<Rows>())).expect("JSON");
        assert_eq!(schema["x-extensions"], json!(["tgz", "tar.gz"]));
        assert_eq!(schema["properties"]["rows"]["title"], json!("Rows"));
        assert_eq!(described(crate::description!()), r#"{"x-extensions":["tgz","tar.gz"]}"#);
        assert_eq!(crate::description!().whole_report_schema(), "");
    }

    #[test]
    fn first_bytes_and_where_it_may_run_stand_in_the_reports_schema() {
        let described = |description: Description| description.whole_report_schema();
        assert_eq!(
            described(crate::description!().first_bytes([b"PK\x03\x04"]).runs_locally()),
            r#"{"x-first-bytes":["504b0304"],"x-local":true}"#
        );
        let schema: Value =
            serde_json::from_str(&described(crate::description!().report::<Rows>().runs_locally())).expect("JSON");
        assert_eq!((&schema["x-local"], &schema["x-extensions"]), (&json!(true), &Value::Null));
    }

    #[test]
    fn what_breaks_the_contract_is_said() {
        let sound = Description::new("a-1", "0.1.0", "does it");
        sound.check().expect("sound");
        assert!(Description::new("A b", "0.1.0", "x").check().expect_err("refused").contains("`A b`"));
        assert!(Description::new("a", "one", "x").check().expect_err("refused").contains("SemVer"));
        assert!(Description::new("a", "0.1.0", "x\ny").check().expect_err("refused").contains("summary"));
        assert!(sound.clone().media_types(["png"]).check().expect_err("refused").contains("`png`"));
        assert!(sound.clone().extensions([".zip"]).check().expect_err("refused").contains("`.zip`"));
        assert!(sound.clone().extensions(["ZIP"]).check().is_err());
        assert!(sound.clone().first_bytes([b""]).check().expect_err("refused").contains("first bytes"));
        assert!(sound.report_schema("{").check().expect_err("refused").contains("report"));
    }
}
