//! An argument as text, for grants that are narrowed by it.

use std::borrow::Cow;

use super::package::Function;
use super::types::Ty;
use crate::wire::token::{Reader, Token};

/// The value of an argument, by its name in the WIT, if that is a string, or bytes that are text. It is the value that the
/// function will get.
pub(crate) fn text_argument<'a>(function: &Function, arguments: &'a [u8], name: &str) -> Option<Cow<'a, str>> {
    let index = function.params.iter().position(|param| param.name.kebab == name)?;
    let ty = &function.params.get(index)?.ty;
    if !matches!(ty.peeled(), Ty::String | Ty::Bytes) {
        return None;
    }
    let mut reader = Reader::new(arguments);
    let Ok(Token::Array(given)) = reader.token() else { return None };
    if index >= given {
        return None;
    }
    for _ in 0..index {
        reader.skip().ok()?;
    }
    match reader.token() {
        Ok(Token::String(text) | Token::Buffer(text)) => std::str::from_utf8(text).ok().map(Cow::Borrowed),
        _ => None,
    }
}
