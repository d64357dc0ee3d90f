//! An argument as text, for grants that are narrowed by it.

use super::package::Function;
use super::types::Ty;
use crate::functions::Arguments;
use crate::wire::token::{Reader, Token};

/// The bytes of an argument, by its name in the WIT, if that is a string, or bytes. It is the value that the function will
/// get.
pub(crate) fn text_argument<'a>(function: &Function, arguments: &'a Arguments, name: &str) -> Option<&'a [u8]> {
    let index = function.params.iter().position(|param| param.name.kebab == name)?;
    let ty = &function.params.get(index)?.ty;
    if !matches!(ty.peeled(), Ty::String | Ty::Bytes) {
        return None;
    }
    match Reader::new(arguments.encoded(index)?).token() {
        Ok(Token::String(text) | Token::Buffer(text)) => Some(text),
        _ => None,
    }
}
