use proptest::prelude::*;
use quick_xml::Reader;
use quick_xml::events::Event;

use super::*;
use crate::test::outcome::{Case, Failure, Raised};
use crate::test::sample::cases;

/// Tags with their attributes, and text, as a reader of XML sees them.
fn parsed(text: &str) -> Result<Vec<String>, quick_xml::Error> {
    let mut reader = Reader::from_str(text);
    reader.config_mut().check_end_names = true;
    let mut out = Vec::new();
    loop {
        match reader.read_event()? {
            Event::Eof => return Ok(out),
            Event::Start(tag) | Event::Empty(tag) => {
                out.push(String::from_utf8_lossy(tag.name().as_ref()).into_owned());
                for attribute in tag.attributes() {
                    let attribute = attribute.map_err(quick_xml::Error::from)?;
                    let value = attribute.unescape_value()?;
                    out.push(format!("{}={value}", String::from_utf8_lossy(attribute.key.as_ref())));
                }
            }
            Event::Text(text) => out.push(text.decode().map_err(quick_xml::Error::from)?.into_owned()),
            Event::GeneralRef(name) => out.push(format!("&{};", String::from_utf8_lossy(&name))),
            _ => {}
        }
    }
}

const GOLDEN: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="motu test" tests="7" failures="2" errors="2" skipped="2" time="0.012000">
  <testsuite name="a/a.test.luau" tests="4" failures="1" errors="1" skipped="1" time="0.001200">
    <testcase classname="a/a.test.luau" name="group &gt; passes &amp; &quot;quotes&quot;" file="a/a.test.luau" line="3" time="0.000300"/>
    <testcase classname="a/a.test.luau" name="group &gt; fails" file="a/a.test.luau" line="5" time="0.000300">
      <failure message="expected { a = 1 } to equal another" type="expectation">a/lib/check.luau:7: expected { a = 1 } to equal another
expected:
  {
    a = 2,
  }
actual:   { a = 1 }
difference:
  value.a: expected 2, got 1</failure>
    </testcase>
    <testcase classname="a/a.test.luau" name="&lt;raises&gt;\u{d}&#10;&#9;\u{0}" file="a/a.test.luau" line="8" time="0.000300">
      <error message="broken &quot;]]&gt; &amp; &lt;b&gt;\u{1b}[31m&#10;  second line\u{ffff}" type="script">a/init.luau:3: error[script]: broken &quot;]]&gt; &amp; &lt;b&gt;\u{1b}[31m
  second line\u{ffff}
thrown: {code = 1}
traceback:
  init.luau:3 function go
  a.test.luau:9</error>
    </testcase>
    <testcase classname="a/a.test.luau" name="skipped" file="a/a.test.luau" line="12" time="0.000300">
      <skipped message="it.skip"/>
    </testcase>
  </testsuite>
"#;

#[test]
fn for_machines() {
    let text = junit(&cases(), Duration::from_millis(12));
    assert!(text.starts_with(GOLDEN), "{text}");
    assert!(text.contains("<system-out>log:\n  ... (2 lines)\n  line 3\\u{7}\\n\n"), "{text}");
    assert!(text.contains("name=\"(the file itself)\" file=\"c.test.luau\" time="), "{text}");
    let seen = parsed(&text);
    assert!(seen.as_ref().is_ok_and(|seen| seen.iter().filter(|name| *name == "testcase").count() == 7), "{seen:?}");
}

#[test]
fn nothing_to_tell() {
    let text = junit(&[], Duration::ZERO);
    assert!(parsed(&text).is_ok_and(|seen| seen.contains(&"tests=0".to_owned())), "{text}");
}

proptest! {
    #[test]
    fn any_text_is_xml(name in any::<String>(), message in any::<String>(), value in any::<String>()) {
        let failure = Failure { message: message.clone(), expected: Some(value), ..Failure::default() };
        let raised = Raised { kind: name.clone(), message, ..Raised::default() };
        let problems = vec![Problem::Failed(failure), Problem::Errored(raised)];
        let case = Case { file: name.clone(), names: vec![name.clone()], line: 1 };
        let finished = Finished { case, outcome: Outcome::Wrong(problems), elapsed: Duration::ZERO, log: vec![name.clone()] };
        let text = junit(&[finished], Duration::ZERO);
        prop_assert!(text.chars().all(|c| c == '\n' || c == '\t' || !is_no_xml(c)));
        let seen = parsed(&text);
        prop_assert!(seen.is_ok(), "{seen:?}");
        // what XML can hold comes out as it was
        if !name.chars().any(is_no_xml_or_return) {
            let wanted = format!("classname={name}");
            prop_assert!(seen.unwrap_or_default().contains(&wanted), "{wanted:?}");
        }
    }
}

fn is_no_xml_or_return(c: char) -> bool {
    is_no_xml(c) && c != '\n' && c != '\t'
}
