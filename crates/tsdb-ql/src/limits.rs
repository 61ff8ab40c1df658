//! The bounds of the language, each with its reason.

/// The longest query text in bytes. Dashboards with hundreds of OR-ed hosts stay below; the tree
/// takes up to some fifty times as much memory as the text, so it must not be a body's size.
pub const QUERY_BYTES_MAX: usize = 16 * 1024;

/// The deepest tree of an expression, in operators, calls and parentheses inside each other
/// (chains of AND and OR count once). Walking, printing and dropping a tree take stack per level,
/// and a thread that runs out of stack takes the process with it.
pub const DEPTH_MAX: usize = 100;

/// The widest excerpt of the query that a message shows, in characters: a terminal's line.
pub(crate) const EXCERPT_CHARS_MAX: usize = 80;

/// The most of an unexpected piece of text that a message repeats, in characters.
pub(crate) const FOUND_CHARS_MAX: usize = 40;

/// The most errors that one answer lists. Later ones are mostly echoes of earlier ones.
pub(crate) const ERRORS_MAX: usize = 8;
