use super::*;
use crate::test::sample::cases;

fn all(style: Style, order: impl IntoIterator<Item = usize>) -> String {
    let cases = cases();
    let mut report = Report::new(style);
    report.expect(cases.len());
    let mut text = String::new();
    for number in order {
        if let Some(finished) = cases.get(number) {
            text.push_str(&report.add(number, finished.clone()));
        }
    }
    assert_eq!(report.finished(), cases);
    text + &report.summary(Duration::from_millis(12))
}

const GOLDEN: &str = r#"a/a.test.luau
  ok   group > passes & "quotes" (0.3 ms)
  FAIL group > fails (0.3 ms)
  FAIL <raises>\r\n\t\u{0} (0.3 ms)
  skip skipped (it.skip)
b.test.luau
  skip left out (another case has it.only)
  FAIL twice wrong (0.3 ms)
c.test.luau
  FAIL (the file itself) (0.3 ms)

FAIL group > fails
  a/lib/check.luau:7: expected { a = 1 } to equal another
    expected:
      {
        a = 2,
      }
    actual:   { a = 1 }
    difference:
      value.a: expected 2, got 1

FAIL <raises>\r\n\t\u{0}
  a/init.luau:3: error[script]: broken "]]> & <b>\u{1b}[31m
      second line￿
    thrown: {code = 1}
    traceback:
      init.luau:3 function go
      a.test.luau:9

FAIL twice wrong
  b.test.luau:6: no place
  b.test.luau:6: error[fuel]: out of fuel
    log:
      ... (2 lines)
"#;

#[test]
fn for_people() {
    let text = all(Style::Plain, 0..7);
    assert!(text.starts_with(GOLDEN), "{text}");
    let rest = text.strip_prefix(GOLDEN).unwrap_or_default();
    assert_eq!(rest.lines().next(), Some("      line 3\\u{7}\\n"));
    let end = "\nFAIL (the file itself)\n  c.test.luau: error[fuel]: out of fuel\n\n\
               1 passed, 2 failed, 2 with errors, 2 skipped; 1 left out by it.only, in 12.0 ms\n";
    assert!(rest.ends_with(end), "{rest}");
}

#[test]
fn the_order_is_the_same_in_any_order() {
    let text = all(Style::Plain, 0..7);
    assert_eq!(text, all(Style::Plain, (0..7).rev()));
    assert_eq!(text, all(Style::Plain, [3, 1, 0, 6, 5, 2, 4]));
}

#[test]
fn terminals_get_marks_and_a_count() {
    let text = all(Style::Terminal, 0..7);
    assert!(text.starts_with("\r\x1b[Ka/a.test.luau\n  \x1b[32m✓\x1b[0m group > passes"), "{text:?}");
    assert!(text.contains("(0.3 ms)\n1/7\r\x1b[K  \x1b[31m✗\x1b[0m group > fails"), "{text:?}");
    assert!(!text.contains("7/7") && !text.contains("\x1b[31m\n"), "{text:?}");
}

#[test]
fn nothing_to_run() {
    assert_eq!(Report::new(Style::Plain).summary(Duration::ZERO), "\nno tests were run\n");
}
