//! One WIT name in all its spellings, made once, so that nothing is spelt while a call is under way.

/// What Luau keeps for itself: no name can be written so after a dot.
const KEYWORDS: [&str; 21] = [
    "and", "break", "do", "else", "elseif", "end", "false", "for", "function", "if", "in", "local", "nil", "not", "or",
    "repeat", "return", "then", "true", "until", "while",
];

/// A name of the WIT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Name {
    /// `not-found`, as it is written there.
    pub(crate) kebab: String,
    /// `not_found`: fields in Rust, cases in Luau.
    pub(crate) snake: String,
    /// The same, with an underscore behind it if it is a keyword: fields, functions and parameters in Luau.
    pub(crate) luau: String,
    /// `NotFound`: cases in Rust, types in Luau.
    pub(crate) pascal: String,
}

impl Name {
    pub(crate) fn new(kebab: &str) -> Name {
        let snake = kebab.to_ascii_lowercase().replace('-', "_");
        let luau = if KEYWORDS.contains(&snake.as_str()) { format!("{snake}_") } else { snake.clone() };
        let mut pascal = String::with_capacity(kebab.len());
        for word in snake.split('_') {
            let (first, rest) = word.split_at_checked(1).unwrap_or_default();
            pascal.push_str(&first.to_ascii_uppercase());
            pascal.push_str(rest);
        }
        Name { kebab: kebab.to_owned(), snake, luau, pascal }
    }

    /// Whether a Rust variant or a script may call the case so.
    pub(crate) fn is_case(&self, name: &str) -> bool {
        self.pascal == name || self.snake == name || self.kebab == name
    }
}
