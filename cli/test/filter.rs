//! `--filter TEXT`: which cases to run.

use super::outcome::Case;

/// What was asked for. A case is wanted if any of the texts is in its full name (`path > group > case`), or is
/// `path:line` of its declaration. The path's end will do: `init.test.luau:12`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    texts: Vec<String>,
}

impl Filter {
    /// Without a text, all cases are wanted.
    pub(crate) fn new(texts: impl IntoIterator<Item = impl Into<String>>) -> Filter {
        Filter { texts: texts.into_iter().map(Into::into).collect() }
    }

    /// Whether this case is wanted.
    pub(crate) fn wants(&self, case: &Case) -> bool {
        if self.texts.is_empty() {
            return true;
        }
        let name = case.full_name();
        self.texts.iter().any(|text| name.contains(text.as_str()) || is_at(case, text))
    }
}

/// Whether the text is `path:line` of the case.
fn is_at(case: &Case, text: &str) -> bool {
    let Some((path, line)) = text.rsplit_once(':') else { return false };
    let path = path.strip_prefix("./").unwrap_or(path);
    let (Ok(line), false) = (line.parse::<u32>(), path.is_empty()) else { return false };
    let ends_so = case.file.strip_suffix(path).is_some_and(|before| before.is_empty() || before.ends_with('/'));
    line == case.line && ends_so
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wants(text: &str) -> bool {
        let names = vec!["hit".to_owned(), "counts: up".to_owned()];
        let case = Case { file: "examples/counter/init.test.luau".to_owned(), names, line: 14 };
        Filter::new([text]).wants(&case)
    }

    #[test]
    fn texts_and_places() {
        for text in ["", "hit", "hit > counts", "counter/init.test.luau > hit", "counts: up", "s/c"] {
            assert!(wants(text), "{text}");
        }
        for place in ["init.test.luau:14", "counter/init.test.luau:14", "./examples/counter/init.test.luau:14"] {
            assert!(wants(place), "{place}");
        }
        for text in ["Hit", "counts > hit", "init.test.luau:15", "nit.test.luau:14", ":14", "init.test.luau:", "x:14"] {
            assert!(!wants(text), "{text}");
        }
    }

    #[test]
    fn none_and_several() {
        let case = Case { file: "a.test.luau".to_owned(), names: vec!["x".to_owned()], line: 0 };
        assert!(Filter::default().wants(&case));
        assert!(Filter::new(["y", "x"]).wants(&case));
        assert!(!Filter::new(["y", "z"]).wants(&case));
    }
}
