//! Patterns of arguments' values. One algorithm answers both questions, whether a value matches and whether a pattern is
//! within another: a value is a pattern without `*`, and a `*` is matched by nothing but a `*`.
//!
//! That is exact, not just safe: some character is in neither pattern, and it could stand where the inner one has `*`. And it
//! is linear in both texts, whoever wrote them: each piece is searched for once, by std's linear search, from where the last
//! one was found.

/// The pieces between the `*`: at least one, and none is empty but the first and the last.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Glob(Box<[Box<str>]>);

impl Glob {
    pub(super) fn pieces(&self) -> &[Box<str>] {
        &self.0
    }

    pub(super) fn matches(&self, value: &str) -> bool {
        self.holds(&[value])
    }

    /// Whether this one matches whatever the other does.
    pub(super) fn covers(&self, other: &Glob) -> bool {
        self.holds(&other.0)
    }

    fn holds<S: AsRef<str>>(&self, inner: &[S]) -> bool {
        let [first, middle @ .., last] = &*self.0 else {
            return matches!((&*self.0, inner), ([piece], [only]) if **piece == *only.as_ref());
        };
        // What is left of the inner pieces between the first and the last of ours.
        let rest = |index: usize| {
            let piece = inner.get(index)?.as_ref();
            let piece = if index == 0 { piece.strip_prefix(&**first)? } else { piece };
            if index + 1 == inner.len() { piece.strip_suffix(&**last) } else { Some(piece) }
        };
        if rest(inner.len().saturating_sub(1)).is_none() {
            return false;
        }
        let (mut index, mut left) = (0, rest(0));
        for piece in middle {
            loop {
                let Some(text) = left else { return false };
                if let Some(after) = after(text, piece) {
                    left = Some(after);
                    break;
                }
                index += 1;
                left = rest(index);
            }
        }
        left.is_some()
    }
}

/// What comes after the first such piece.
fn after<'t>(text: &'t str, piece: &str) -> Option<&'t str> {
    if piece.len() > text.len() {
        return None; // without preparing a search, which takes as long as the piece is
    }
    text.find(piece).and_then(|at| text.get(at + piece.len()..))
}

/// A pattern as it is read.
pub(super) struct Building(Vec<String>);

impl Building {
    pub(super) fn new() -> Building {
        Building(vec![String::new()])
    }

    pub(super) fn literal(&mut self, c: char) {
        if let Some(piece) = self.0.last_mut() {
            piece.push(c);
        }
    }

    /// A `*`: one that follows another adds nothing.
    pub(super) fn star(&mut self) {
        if self.0.len() == 1 || self.0.last().is_some_and(|piece| !piece.is_empty()) {
            self.0.push(String::new());
        }
    }

    pub(super) fn finish(self) -> Glob {
        Glob(self.0.into_iter().map(String::into_boxed_str).collect())
    }
}
