//! What a person reads: status, explanation and history as text.
//!
//! Pure functions of the message, the time and the [`Style`]. They print nothing, read no clock and
//! no environment. Text that came from elsewhere is made harmless to a terminal first.

mod explain;
mod history;
mod problems;
mod side_by_side;
mod status;
mod style;
mod units;

pub use self::explain::explain;
pub use self::history::history;
pub use self::status::{one_line, status};
pub use self::style::{Style, clean};
