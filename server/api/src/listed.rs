//! Enums of the wire that are a closed list: each variant with its code, and a list of them all that cannot be forgotten.

/// Makes an enum whose variants are written with their codes; the last one, apart from the others, stands for whatever a later version
/// may send. With it come `ALL`, without that one, `code` and `from_code`.
macro_rules! listed {
    (
        $(#[$meta:meta])*
        pub enum $name:ident {
            $($(#[$variant_meta:meta])* $variant:ident = $code:literal,)*
        }
        $(#[$unknown_meta:meta])*
        $unknown:ident = $unknown_code:literal
    ) => {
        $(#[$meta])*
        pub enum $name {
            $($(#[$variant_meta])* $variant,)*
            $(#[$unknown_meta])*
            #[serde(other)]
            $unknown,
        }

        impl $name {
            /// All that this build knows.
            pub const ALL: [Self; [$($code),*].len()] = [$(Self::$variant),*];

            /// As it is written on the wire.
            #[must_use]
            pub const fn code(self) -> &'static str {
                match self {
                    $(Self::$variant => $code,)*
                    Self::$unknown => $unknown_code,
                }
            }

            /// What is written so; a later version may write what this build does not know.
            #[must_use]
            pub fn from_code(code: &str) -> Self {
                match code {
                    $($code => Self::$variant,)*
                    _ => Self::$unknown,
                }
            }
        }
    };
}

pub(crate) use listed;

#[cfg(test)]
mod tests {
    use crate::ErrorCode;

    #[test]
    fn codes_are_those_of_the_wire() {
        for code in ErrorCode::ALL {
            assert_eq!(serde_json::to_value(code).ok(), Some(code.code().into()));
            assert_eq!(ErrorCode::from_code(code.code()), code);
        }
        assert_eq!(ErrorCode::from_code("of a later version"), ErrorCode::Unknown);
    }

    #[test]
    fn every_error_has_a_status_that_is_an_error() {
        for code in ErrorCode::ALL {
            assert!((400..600).contains(&code.status()), "{code:?}");
        }
    }
}
