//! JSON as text. Not serde_json's own tree: that rounds large integers in silence, and here each digit counts.

use crate::report::is_unseen;

/// JSON, with numbers as they are written.
#[derive(Debug, PartialEq)]
pub(super) enum Json {
    Null,
    Bool(bool),
    Number(String),
    String(String),
    Array(Vec<Json>),
    /// No key is in it twice.
    Object(Vec<(String, Json)>),
}

/// How deep JSON may be nested: what recursion can bear. Payloads have a lower limit of their own.
const NESTING_MAX: usize = 512;

/// Characters that a message shows of a number or a word.
const SHOWN_CHARS: usize = 40;

/// A line of `pretty`, if its table fits.
const LINE_CHARS: usize = 80;

pub(super) fn quoted(text: &str) -> String {
    escaped(&serde_json::Value::from(text).to_string())
}

/// The start of what was given, for messages.
pub(super) fn short(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// The same JSON, in which characters that would not be seen are escaped. `json` is on one line, so all of them are in
/// strings.
pub(super) fn escaped(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            c if is_unseen(c) => {
                c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| out.push_str(&format!("\\u{unit:04x}")))
            }
            c => out.push(c),
        }
    }
    out
}

impl Json {
    pub(super) fn compact(&self) -> String {
        let mut out = String::new();
        self.write(&mut out, None);
        out
    }

    pub(super) fn pretty(&self) -> String {
        let mut out = String::new();
        self.write(&mut out, Some(0));
        out
    }

    /// `indent` is that of the line, in spaces; none for all on one line.
    fn write(&self, out: &mut String, indent: Option<usize>) {
        match self {
            Json::Null => out.push_str("null"),
            Json::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Json::Number(digits) => out.push_str(digits),
            Json::String(text) => out.push_str(&quoted(text)),
            Json::Array(items) => table(out, ('[', ']'), items, indent, |out, item, indent| item.write(out, indent)),
            Json::Object(pairs) => table(out, ('{', '}'), pairs, indent, |out, (key, value), indent| {
                out.push_str(&quoted(key));
                out.push(':');
                if indent.is_some() {
                    out.push(' ');
                }
                value.write(out, indent);
            }),
        }
    }
}

fn table<T>(
    out: &mut String,
    (open, close): (char, char),
    entries: &[T],
    indent: Option<usize>,
    write: impl Fn(&mut String, &T, Option<usize>),
) {
    out.push(open);
    let inner = indent.map(|indent| indent + 2);
    let mut written: Vec<String> = Vec::with_capacity(entries.len());
    for entry in entries {
        let mut text = String::new();
        write(&mut text, entry, inner);
        written.push(text);
    }
    let chars: usize = written.iter().map(|text| text.len() + 2).sum();
    match (indent, inner) {
        (Some(indent), Some(inner))
            if chars + indent > LINE_CHARS || written.iter().any(|text| text.contains('\n')) =>
        {
            let (outer, inner) = (" ".repeat(indent), " ".repeat(inner));
            out.push_str(&format!("\n{inner}"));
            out.push_str(&written.join(&format!(",\n{inner}")));
            out.push_str(&format!("\n{outer}"));
        }
        (Some(_), _) => out.push_str(&written.join(", ")),
        (None, _) => out.push_str(&written.join(",")),
    }
    out.push(close);
}

/// One JSON value. The error says at which line and column.
pub(super) fn parse(text: &str) -> Result<Json, String> {
    let mut parser = Parser { text, at: 0, nesting: 0 };
    let parsed = parser.value().and_then(|json| match parser.peek() {
        None => Ok(json),
        Some(_) => Err("more after the value".to_owned()),
    });
    parsed.map_err(|message| {
        let before = text.get(..parser.at).unwrap_or(text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        format!("not JSON: {message} (line {line}, column {column})")
    })
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    nesting: usize,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// The next character that isn't space.
    fn peek(&mut self) -> Option<char> {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches([' ', '\t', '\n', '\r']).len();
        self.rest().chars().next()
    }

    fn eat(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        if found {
            self.at += wanted.len_utf8();
        }
        found
    }

    /// What comes next, as far as `belongs` goes.
    fn token(&mut self, belongs: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let end = rest.find(|c| !belongs(c)).unwrap_or(rest.len());
        rest.get(..end).unwrap_or_default()
    }

    fn value(&mut self) -> Result<Json, String> {
        match self.peek() {
            None => Err("a value is missing".to_owned()),
            Some('"') => self.string().map(Json::String),
            Some('[') => self.nested(Self::array),
            Some('{') => self.nested(Self::object),
            Some(c) if c == '-' || c.is_ascii_digit() => {
                let digits = self.token(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
                // Its grammar, not its value.
                serde_json::from_str::<serde::de::IgnoredAny>(digits)
                    .map_err(|_| format!("{} is not a number", short(digits)))?;
                self.at += digits.len();
                Ok(Json::Number(digits.to_owned()))
            }
            Some(c) => {
                let word = self.token(char::is_alphanumeric);
                let json = match word {
                    "null" => Json::Null,
                    "true" => Json::Bool(true),
                    "false" => Json::Bool(false),
                    "" => return Err(format!("{c:?} where a value should be")),
                    _ => return Err(format!("{} is not a value; text needs double quotes", short(word))),
                };
                self.at += word.len();
                Ok(json)
            }
        }
    }

    fn nested(&mut self, read: fn(&mut Self) -> Result<Json, String>) -> Result<Json, String> {
        self.nesting += 1;
        if self.nesting > NESTING_MAX {
            return Err(format!("nested more than {NESTING_MAX} deep"));
        }
        self.at += 1;
        let json = read(self)?;
        self.nesting -= 1;
        Ok(json)
    }

    fn array(&mut self) -> Result<Json, String> {
        let mut items = Vec::new();
        if self.eat(']') {
            return Ok(Json::Array(items));
        }
        loop {
            items.push(self.value()?);
            if self.eat(']') {
                return Ok(Json::Array(items));
            }
            if !self.eat(',') {
                return Err("a , or ] is missing".to_owned());
            }
        }
    }

    fn object(&mut self) -> Result<Json, String> {
        let mut pairs: Vec<(String, Json)> = Vec::new();
        let mut seen = std::collections::HashSet::new();
        if self.eat('}') {
            return Ok(Json::Object(pairs));
        }
        loop {
            if self.peek() != Some('"') {
                return Err("a key in double quotes is missing".to_owned());
            }
            let key = self.string()?;
            if !seen.insert(key.clone()) {
                return Err(format!("the key {} is there twice", quoted(&key)));
            }
            if !self.eat(':') {
                return Err("a : is missing".to_owned());
            }
            pairs.push((key, self.value()?));
            if self.eat('}') {
                return Ok(Json::Object(pairs));
            }
            if !self.eat(',') {
                return Err("a , or } is missing".to_owned());
            }
        }
    }

    fn string(&mut self) -> Result<String, String> {
        let rest = self.rest();
        let mut escaped = false;
        let end = rest.char_indices().skip(1).find(|&(_, c)| {
            let closes = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            closes
        });
        let Some((end, _)) = end else { return Err("a string without its closing quote".to_owned()) };
        let token = rest.get(..=end).unwrap_or_default();
        let text = serde_json::from_str(token).map_err(|_| {
            "a string with a bad escape or a raw control character (bytes that are no text go into $bytes)".to_owned()
        })?;
        self.at += token.len();
        Ok(text)
    }
}
