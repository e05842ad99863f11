//! Names as they are told.

use filemill_text::shown as shown_text;

/// Characters of a name that are told, at most.
pub(super) const NAME_MAX: usize = 64;

/// A name as it is told: it may be long, and somebody else's.
pub(super) fn cut(name: &str) -> String {
    let mut shown = shown_text(&name.chars().take(NAME_MAX).collect::<String>());
    if name.chars().nth(NAME_MAX).is_some() {
        shown.push('…');
    }
    shown
}
