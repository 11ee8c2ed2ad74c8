//! Colours, and the removal of foreign control characters.

use crate::engine::values::Role;

/// How text may be dressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Style {
    /// ANSI colours: for a terminal whose user did not set `NO_COLOR`.
    pub colour: bool,
}

/// Select Graphic Rendition codes of ECMA-48.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ink {
    Bold = 1,
    Dim = 2,
    Red = 31,
    Green = 32,
    Yellow = 33,
    Cyan = 36,
}

impl Style {
    pub(super) fn paint(self, ink: Ink, text: &str) -> String {
        if self.colour {
            format!("\x1b[{}m{text}\x1b[0m", ink as u8)
        } else {
            text.into()
        }
    }
}

pub(super) fn ink_of(role: Role) -> Ink {
    match role {
        Role::Active => Ink::Green,
        Role::Starting | Role::CatchingUp | Role::Standby => Ink::Cyan,
        Role::Promoting | Role::Demoting | Role::Parked | Role::Stopping => Ink::Yellow,
        Role::Fenced => Ink::Red,
    }
}

/// `text` without what could move a cursor, start an escape sequence or turn the reading direction.
pub fn clean(text: &str) -> String {
    let harmless = |c: char| {
        let turns = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if c.is_control() || turns {
            '\u{fffd}'
        } else {
            c
        }
    };
    text.chars().map(harmless).collect()
}

/// `None` as the word for it.
pub(super) fn or_unknown(text: Option<&str>) -> String {
    text.map_or_else(|| "unknown".into(), clean)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_escape_sequences_and_direction_marks_lose_their_force() {
        assert_eq!(
            clean("a\x1b[31mb\r\n\u{9b}2J\u{202e}c"),
            "a\u{fffd}[31mb\u{fffd}\u{fffd}\u{fffd}2J\u{fffd}c"
        );
        assert_eq!(clean("fra-1 · ümlaut ✓"), "fra-1 · ümlaut ✓");
    }

    #[test]
    fn without_colour_nothing_is_added() {
        assert_eq!(Style { colour: false }.paint(Ink::Red, "x"), "x");
        assert_eq!(
            Style { colour: true }.paint(Ink::Red, "x"),
            "\x1b[31mx\x1b[0m"
        );
    }
}
