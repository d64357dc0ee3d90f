//! Reads a grant from its text, or says at which character it stops being one. [`Grant`] has the syntax.

use std::borrow::Cow;

use super::error::{GrantError, character};
use super::glob::{Building, Glob};
use super::{Argument, Function, Grant, Name};

type Result<T> = std::result::Result<T, GrantError>;
type Hint = Option<Cow<'static, str>>;

const FORM: &str = "a grant is namespace:package/interface.function, or * alone for everything";
/// What a hint repeats of the text, in bytes: more wouldn't help.
const REPEATED_BYTES_MAX: usize = 80;

pub(super) fn grant(text: &str) -> Result<Grant> {
    if text.len() > Grant::BYTES_MAX {
        return Err(GrantError::too_long(text));
    }
    // The short form of this one.
    let text = if text == "*" { "*:*/*" } else { text };
    let mut parser = Parser { text, at: 0 };
    let namespace = parser.name("a namespace or \"*\"")?;
    if !parser.take(':') {
        return Err(parser.after_name("\":\"", Some(FORM.into())));
    }
    let package = parser.name("a package or \"*\"")?;
    let major = if parser.take('@') { Some(parser.major()?) } else { None };
    if !parser.take('/') {
        return Err(parser.no_slash(major));
    }
    let interface = parser.name("an interface or \"*\"")?;
    let function = parser.function(&interface)?;
    let arguments = parser.arguments()?.into();
    Ok(Grant { namespace, package, major, interface, function, arguments })
}

struct Parser<'t> {
    text: &'t str,
    /// At a character of the text, or its end.
    at: usize,
}

impl<'t> Parser<'t> {
    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn next(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn read(&self) -> &'t str {
        self.text.get(..self.at).unwrap_or_default()
    }

    fn take(&mut self, c: char) -> bool {
        let taken = self.next() == Some(c);
        if taken {
            self.at += c.len_utf8();
        }
        taken
    }

    /// The error that the text stops being a grant here.
    fn refuse(&self, expected: &'static str, hint: Hint) -> GrantError {
        let hint = match self.next() {
            Some(c) if c.is_whitespace() => Some("write it without white space".into()),
            _ => hint,
        };
        GrantError::new(self.text, self.at, self.next().map(character), expected, hint)
    }

    /// The same where a name should begin.
    fn no_name(&self, expected: &'static str) -> GrantError {
        let hint = match self.next() {
            Some('%') => Some("here names are written without %"),
            Some(c) if c.is_alphanumeric() || c == '_' => Some("a name begins with a letter, a to z or A to Z"),
            _ => None,
        };
        self.refuse(expected, hint.map(Cow::from))
    }

    /// The same after a name, or in one: what is there may be meant as a part of it.
    fn after_name(&self, expected: &'static str, hint: Hint) -> GrantError {
        const WHOLE: &str = "* stands for a whole name, not for a part of one";
        let name_hint = match (self.read().chars().next_back(), self.next()) {
            (Some('*'), Some('*')) => Some("write * once"),
            (_, Some('*')) => Some(WHOLE),
            (Some('*'), Some(c)) if c.is_alphanumeric() || c == '-' => Some(WHOLE),
            (_, Some('_')) => Some("names are in kebab-case, with - between the words"),
            (_, Some('@')) => Some("the version comes after the package, as in motu:kv@1/store.get"),
            (_, Some(c)) if c.is_ascii_alphabetic() => {
                Some("names are in kebab-case, each word of them all lower or all upper case")
            }
            (_, Some(c)) if c.is_alphanumeric() => Some("names have the letters a to z and A to Z only"),
            _ => None,
        };
        self.refuse(expected, name_hint.map(Cow::from).or(hint))
    }

    /// The hint to write what was read so far and then this, if all of the functions could be meant.
    fn all_functions(&self, more: &str) -> Hint {
        let read = self.read();
        let is_whole = matches!(self.next(), None | Some('[')) && read.len() <= REPEATED_BYTES_MAX;
        Some(if is_whole { format!("write {read}{more} for all of its functions").into() } else { FORM.into() })
    }

    fn name(&mut self, expected: &'static str) -> Result<Name> {
        if self.take('*') { Ok(Name::Any) } else { self.identifier(expected).map(|name| Name::Is(name.into())) }
    }

    /// A name by the rule of WIT: words with `-` between them, each of lower case letters and digits or of upper case letters
    /// and digits; the first begins with a letter.
    fn identifier(&mut self, expected: &'static str) -> Result<&'t str> {
        let start = self.at;
        if !self.next().is_some_and(|c| c.is_ascii_alphabetic()) {
            return Err(self.no_name(expected));
        }
        loop {
            let run = |is: fn(&u8) -> bool| self.rest().bytes().take_while(|b| is(b) || b.is_ascii_digit()).count();
            let word = run(u8::is_ascii_lowercase).max(run(u8::is_ascii_uppercase));
            if word == 0 {
                return Err(self.after_name("a letter or a digit", None));
            }
            self.at += word;
            if !self.take('-') {
                return Ok(self.text.get(start..self.at).unwrap_or_default());
            }
        }
    }

    fn major(&mut self) -> Result<u64> {
        let digits = self.rest().bytes().take_while(u8::is_ascii_digit).count();
        let number = self.rest().get(..digits).unwrap_or_default();
        if number.is_empty() {
            let hint = "the number alone, as in @1; without @ it is any version";
            return Err(self.refuse("a major version", Some(hint.into())));
        }
        let fault = |expected, hint: &'static str| {
            GrantError::new(self.text, self.at, Some(shortened(number)), expected, Some(hint.into()))
        };
        if number.len() > 1 && number.starts_with('0') {
            return Err(fault("a major version", "write it without zeros in front"));
        }
        let major = number.parse().map_err(|_| fault("a major version", "18446744073709551615 is the highest"))?;
        self.at += digits;
        Ok(major)
    }

    fn no_slash(&self, major: Option<u64>) -> GrantError {
        match (major, self.next()) {
            (Some(_), Some('.' | '-' | '+')) => {
                self.refuse("\"/\"", Some("only the major version is written, as in @1".into()))
            }
            (Some(_), _) => self.refuse("\"/\"", self.all_functions("/*")),
            (None, _) => self.after_name("\"/\"", self.all_functions("/*")),
        }
    }

    fn function(&mut self, interface: &Name) -> Result<Function> {
        if !self.take('.') {
            return match (interface, self.next()) {
                (Name::Any, None | Some('[')) => Ok(Function::Any),
                (Name::Any, _) => Err(self.after_name("\".\", \"[\" or the end", None)),
                (Name::Is(_), _) => Err(self.after_name("\".\"", self.all_functions(".*"))),
            };
        }
        if self.take('*') {
            return self.ended(Function::Any, "* is all functions, methods of resources too");
        }
        let name = self.identifier("a function or \"*\"")?;
        if !self.take('.') {
            return match self.next() {
                None | Some('[') => Ok(Function::Is(name.into())),
                Some(_) => Err(self.after_name("\".\", \"[\" or the end", None)),
            };
        }
        if self.take('*') {
            return self.ended(Function::MethodsOf(name.into()), "* is all methods");
        }
        let method = self.identifier("a method or \"*\"")?;
        self.ended(Function::Is(format!("{name}.{method}").into()), "a function is at most a resource and its method")
    }

    fn ended(&self, function: Function, hint: &'static str) -> Result<Function> {
        match self.next() {
            None | Some('[') => Ok(function),
            Some(_) => Err(self.after_name("\"[\" or the end", Some(hint.into()))),
        }
    }

    /// In the order of their names.
    fn arguments(&mut self) -> Result<Vec<Argument>> {
        let mut arguments: Vec<Argument> = Vec::new();
        while self.next().is_some() {
            if arguments.len() == Grant::ARGUMENTS_MAX {
                let hint = format!("a grant names at most {} arguments", Grant::ARGUMENTS_MAX);
                return Err(self.refuse("the end", Some(hint.into())));
            }
            if !self.take('[') {
                return Err(self.refuse("\"[\" or the end", None));
            }
            let start = self.at;
            let name = self.identifier("the name of an argument")?;
            let place = match arguments.binary_search_by(|argument| (*argument.name).cmp(name)) {
                Err(place) => place,
                Ok(_) => {
                    let hint = Some("each argument is named once".into());
                    let found = Some(shortened(name));
                    return Err(GrantError::new(self.text, start, found, "another argument", hint));
                }
            };
            if !self.take('=') {
                return Err(self.after_name("\"=\"", Some("an argument is written [name=pattern]".into())));
            }
            arguments.insert(place, Argument { name: name.into(), pattern: self.pattern()? });
        }
        Ok(arguments)
    }

    /// Up to and with the `]`.
    fn pattern(&mut self) -> Result<Glob> {
        let mut pattern = Building::new();
        loop {
            let Some(c) = self.next() else {
                return Err(self.refuse("\"]\"", Some("a pattern goes up to ]; in it \\] is a bracket".into())));
            };
            self.at += c.len_utf8();
            match c {
                ']' => return Ok(pattern.finish()),
                '*' => pattern.star(),
                '\\' => match self.next() {
                    Some(c @ ('*' | '\\' | ']')) => {
                        self.at += c.len_utf8();
                        pattern.literal(c);
                    }
                    found => {
                        let hint = Some("write \\\\ for a backslash".into());
                        let expected = "\"*\", \"\\\" or \"]\"";
                        return Err(GrantError::new(self.text, self.at, found.map(character), expected, hint));
                    }
                },
                c => pattern.literal(c),
            }
        }
    }
}

/// A name or number in quotes.
fn shortened(text: &str) -> String {
    match text.get(..REPEATED_BYTES_MAX) {
        Some(start) if start.len() < text.len() => format!("\"{start}...\""),
        _ => format!("\"{text}\""),
    }
}
