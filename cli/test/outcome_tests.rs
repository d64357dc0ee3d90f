use super::*;

fn shown(path: &str) -> String {
    format!("bundle/{path}")
}

#[test]
fn only_frames_of_the_files_under_test_are_shown() {
    let traceback = "[C] get\n@@motu/test/mock.luau:59\nlib/a b:c.luau:12 function find\n[C] pcall\ninit.test.luau:5\n\
                     @@motu/test/cases.luau:212 function run\n[C] require\n.motu-test.luau:1";
    let raised = Raised::read("denied", "@@motu/test/mock.luau:59: no grant: motu:kv", traceback, shown);
    assert_eq!(raised.message, "no grant: motu:kv");
    assert_eq!(raised.traceback, "bundle/lib/a b:c.luau:12 function find\n[C] pcall\nbundle/init.test.luau:5");
    assert_eq!(raised.place, Some(Place { path: "bundle/lib/a b:c.luau".to_owned(), line: 12 }));
}

#[test]
fn what_does_not_compile_has_its_place_in_the_message() {
    let raised = Raised::read("compile", "lib/a.luau:3: expected end\nb.luau:1: expected end", "", shown);
    assert_eq!(raised.message, "expected end\nb.luau:1: expected end");
    assert_eq!(raised.place, Some(Place { path: "bundle/lib/a.luau".to_owned(), line: 3 }));
}

#[test]
fn other_messages_stay() {
    for message in ["", "@@", "@@a: b", "@@a.luau:x: b", "a.luau:5: b", "@@a.luau:5", "é"] {
        assert_eq!(without_own_place(message), message);
    }
    assert_eq!(Raised::read("fuel", "over", "", shown).place, None);
    for frame in
        ["", ":", "a.luau", "a.luau:", "a.luau:0", "a.luau:-1", "a.luau:99999999999", " function ", "[C] pcall"]
    {
        assert_eq!(place_in(frame), None, "{frame}");
    }
}

#[test]
fn failures_are_told_by_their_mark() {
    let fields = |name: &str| match name {
        "motu_test" => Some("failure".to_owned()),
        "message" => Some("m".to_owned()),
        "path" => Some("p.luau".to_owned()),
        _ => None,
    };
    let failure = Failure::read(fields, Some(3), shown).unwrap_or_default();
    assert_eq!(failure.place, Some(Place { path: "bundle/p.luau".to_owned(), line: 3 }));
    assert_eq!(failure.message, "m");
    assert_eq!(Failure::read(|_| None, Some(3), shown), None);
    assert_eq!(Failure::read(|_| Some("x".to_owned()), Some(3), shown), None);
}

#[test]
fn exit_statuses() {
    let mut counts = Counts::default();
    assert_eq!(counts.exit_status(), 2, "nothing was found");
    counts.add(&Outcome::Skipped(Skip::Marked));
    assert_eq!(counts.exit_status(), 0, "all is skipped");
    counts.add(&Outcome::Passed);
    assert_eq!(counts.exit_status(), 0);
    counts.add(&Outcome::Wrong(vec![Problem::Errored(Raised::default()), Problem::Failed(Failure::default())]));
    assert_eq!((counts.errored, counts.failed, counts.exit_status()), (1, 0, 1));
    counts.add(&Outcome::Wrong(vec![Problem::Failed(Failure::default())]));
    assert_eq!((counts.errored, counts.failed, counts.total()), (1, 1, 4));
}
