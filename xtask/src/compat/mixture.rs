//! Which of the three programs is of which revision.

use std::fmt;
use std::fs;
use std::path::Path;
use std::str::FromStr;

use anyhow::{Context, Result};

use crate::binaries::Binaries;

/// Of which revision a program is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Age {
    /// The earlier one.
    Old,
    /// This checkout's.
    New,
}

/// The ages of the three programs. Written and parsed as `old-new-new`: client, server, processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mixture {
    pub(super) client: Age,
    pub(super) server: Age,
    pub(super) processor: Age,
}

impl Mixture {
    /// All of them, the ones with the most new programs last.
    pub(super) const ALL: [Self; 8] = {
        use Age::{New, Old};
        [
            Self::of(Old, Old, Old),
            Self::of(New, Old, Old),
            Self::of(Old, New, Old),
            Self::of(Old, Old, New),
            Self::of(New, New, Old),
            Self::of(New, Old, New),
            Self::of(Old, New, New),
            Self::of(New, New, New),
        ]
    };

    const fn of(client: Age, server: Age, processor: Age) -> Self {
        Self { client, server, processor }
    }

    /// Whether all three are this checkout's: only then is everything of the newest format.
    pub(super) fn is_new(self) -> bool {
        [self.client, self.server, self.processor].iter().all(|age| *age == Age::New)
    }

    /// Puts its programs side by side in a folder of its own below `folder`, as an installation has them: the server looks for the
    /// processor's beside its own, so that links would lead it astray.
    ///
    /// # Errors
    ///
    /// When they cannot be copied.
    pub(super) fn put_together(self, folder: &Path, old: &Binaries, new: &Binaries) -> Result<Binaries> {
        let dir = folder.join(self.to_string());
        fs::create_dir_all(&dir).with_context(|| format!("cannot create `{}`", dir.display()))?;
        let of = |age| if age == Age::Old { old } else { new };
        let programs = [&of(self.client).client, &of(self.server).server, &of(self.processor).processor]
            .map(|program| program.as_path());
        for program in programs {
            copy_into(program, &dir)?;
        }
        Binaries::in_dir(&dir)
    }
}

/// Copies a program into a folder, in place of what is there. The former one may still run.
pub(super) fn copy_into(program: &Path, dir: &Path) -> Result<()> {
    let to = dir.join(program.file_name().unwrap_or_default());
    let there = || format!("cannot copy `{}` to `{}`", program.display(), to.display());
    if to.exists() {
        fs::remove_file(&to).with_context(there)?;
    }
    fs::copy(program, &to).map(drop).with_context(there)
}

impl fmt::Display for Age {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Old => "old",
            Self::New => "new",
        })
    }
}

impl fmt::Display for Mixture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{}", self.client, self.server, self.processor)
    }
}

impl FromStr for Mixture {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|mixture| mixture.to_string() == text);
        known.ok_or_else(|| "it is the ages of client, server and processor, such as `old-new-new`".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_eight_mixtures_and_each_is_read_as_it_is_written() {
        for (place, mixture) in Mixture::ALL.into_iter().enumerate() {
            assert_eq!(mixture.to_string().parse(), Ok(mixture));
            assert!(!Mixture::ALL[..place].contains(&mixture), "{mixture}");
            assert_eq!(mixture.is_new(), place == 7, "{mixture}");
        }
        for other in ["", "old", "old-new", "old-new-newer", "OLD-NEW-NEW"] {
            assert!(other.parse::<Mixture>().is_err(), "{other}");
        }
    }

    #[test]
    fn a_mixture_has_each_program_of_its_age() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let made = |age: &str| {
            let dir = dir.path().join(age);
            fs::create_dir(&dir).expect("made");
            for name in ["filemill", "filemill-server", "filemill-processor"] {
                fs::write(dir.join(name), age).expect("written");
            }
            Binaries::in_dir(&dir).expect("all three")
        };
        let (old, new) = (made("old"), made("new"));
        let mixture: Mixture = "new-old-new".parse().expect("a mixture");
        // Again, where one was before.
        for _ in 0..2 {
            let programs = mixture.put_together(&dir.path().join("mixtures"), &old, &new).expect("put together");
            let of = |program: &Path| fs::read_to_string(program).expect("read");
            assert_eq!([of(&programs.client), of(&programs.server), of(&programs.processor)], ["new", "old", "new"]);
        }
    }
}
