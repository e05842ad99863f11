//! Which language a text is in, by its trigrams.

use crate::report::Language;

/// How much text is looked at, in bytes: from the beginning on. More does not change the answer.
const SAMPLE_BYTES: usize = 16 * 1024;

/// The beginning of a text.
#[derive(Debug, Default)]
pub(crate) struct Sample(String);

impl Sample {
    /// Takes what there is still room for.
    pub(crate) fn take(&mut self, text: &str) {
        let room = SAMPLE_BYTES.saturating_sub(self.0.len()).min(text.len());
        let end = (0..=room).rev().find(|&end| text.is_char_boundary(end)).unwrap_or(0);
        self.0.push_str(&text[..end]);
    }

    /// The language, where the trigrams leave little doubt: lists, tables and source code have none.
    pub(crate) fn language(&self) -> Option<Language> {
        let found = whatlang::detect(&self.0).filter(whatlang::Info::is_reliable)?;
        Some(Language {
            code: found.lang().code(),
            name: found.lang().eng_name(),
            script: found.script().to_string(),
            confidence: (found.confidence() * 1000.0).round() / 1000.0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> Option<&'static str> {
        let mut sample = Sample::default();
        sample.take(text);
        sample.language().map(|language| language.code)
    }

    #[test]
    fn sentences_have_a_language_and_numbers_have_none() {
        assert_eq!(
            code("The quick brown fox jumps over the lazy dog, and nobody in this village was surprised."),
            Some("eng")
        );
        assert_eq!(
            code("Der schnelle braune Fuchs springt über den faulen Hund, und niemand im Dorf wunderte sich."),
            Some("deu")
        );
        assert_eq!(
            code("Широкая электрификация южных губерний даст мощный толчок подъёму сельского хозяйства."),
            Some("rus")
        );
        assert_eq!(code("1;2;3\n4;5;6\n"), None);
        assert_eq!(code(""), None);
    }

    #[test]
    fn the_sample_is_bounded_and_cut_between_letters() {
        let mut sample = Sample::default();
        for _ in 0..3 {
            sample.take(&"ä".repeat(SAMPLE_BYTES / 3));
        }
        assert!(sample.0.len() <= SAMPLE_BYTES && sample.0.chars().all(|letter| letter == 'ä'));
    }
}
