//! How a job ended, as the server learns it and passes it on.

use serde::{Deserialize, Serialize};

/// Calls the macro `$then!` with every outcome that this build knows: its name, its code, and what it says of the file.
///
/// A new outcome is a row here, one in `docs/protocol.md`, and one in the list of sealed results, `client/seal/src/outcome.rs`. Whatever maps one
/// list to the other is made by this macro, so that an outcome which only one of them has does not compile.
#[macro_export]
macro_rules! outcomes {
    ($then:ident) => {
        $then! {
            Succeeded = "succeeded", Analysed;
            Rejected = "rejected", Analysed;
            Failed = "failed", Analysed;
            Trapped = "trapped", Analysed;
            TimedOut = "timed_out", Analysed;
            OverMemory = "over_memory", Analysed;
            OverOutput = "over_output", Analysed;
            OverLog = "over_log", Analysed;
            OverHostCalls = "over_host_calls", Analysed;
            Void = "void", NotAnalysed;
            Refused = "refused", NotAnalysed;
            Cancelled = "cancelled", NotAnalysed;
            HostFailed = "host_failed", NotAnalysed;
            Quarantined = "quarantined", Verdict;
        }
    };
}

macro_rules! declare {
    ($($name:ident = $code:literal, $class:ident;)+) => {
        /// How a job ended. `docs/protocol.md` says what each means.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        #[serde(rename_all = "snake_case")]
        #[expect(missing_docs, reason = "the list stands in docs/protocol.md")]
        pub enum Outcome {
            $($name,)+
            #[serde(other)]
            Unknown,
        }

        impl Outcome {
            /// All that this build knows.
            pub const ALL: [Self; [$($code),+].len()] = [$(Self::$name),+];

            /// As it is written on the wire.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self {
                    $(Self::$name => $code,)+
                    Self::Unknown => "unknown",
                }
            }

            /// What is written so; a later version may write what this build does not know.
            #[must_use]
            pub fn from_code(code: &str) -> Self {
                match code {
                    $($code => Self::$name,)+
                    _ => Self::Unknown,
                }
            }

            /// What it says of the file.
            #[must_use]
            pub const fn class(self) -> OutcomeClass {
                match self {
                    $(Self::$name => OutcomeClass::$class,)+
                    Self::Unknown => OutcomeClass::Unknown,
                }
            }
        }
    };
}

outcomes!(declare);

/// What an outcome says of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutcomeClass {
    /// It was analysed: the engine ran over it, however that ended.
    Analysed,
    /// It was not, and a processor says so.
    NotAnalysed,
    /// It was not, and only the server says so.
    Verdict,
    /// Of what this build does not know it knows nothing.
    Unknown,
}

impl Outcome {
    /// Whether a processor may say it.
    #[must_use]
    pub const fn by_processor(self) -> bool {
        match self.class() {
            OutcomeClass::Analysed | OutcomeClass::NotAnalysed => true,
            OutcomeClass::Verdict | OutcomeClass::Unknown => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_those_of_the_wire() {
        for outcome in Outcome::ALL {
            let code = outcome.code();
            assert_eq!(serde_json::to_value(outcome).unwrap(), code);
            assert_eq!(serde_json::from_value::<Outcome>(code.into()).unwrap(), outcome);
            assert_eq!(Outcome::from_code(code), outcome);
        }
        assert_eq!(serde_json::from_str::<Outcome>("\"excellent\"").unwrap(), Outcome::Unknown);
        assert_eq!(Outcome::from_code("excellent"), Outcome::Unknown);
    }

    #[test]
    fn a_processor_says_all_but_the_servers_own_verdict() {
        let not_said = Outcome::ALL.into_iter().filter(|outcome| !outcome.by_processor());
        assert_eq!(not_said.collect::<Vec<_>>(), [Outcome::Quarantined]);
        assert!(!Outcome::Unknown.by_processor());
    }
}
