use super::ALL;
use crate::wit::{luau_types, parse};

/// `MOTU_BLESS=1 cargo test` writes the file anew.
#[test]
fn a_file_for_editors() {
    let files = luau_types(&[parse(ALL).unwrap()]).unwrap();
    let names: Vec<_> = files.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["acme/crm.luau", "acme/crm@1.luau"]);
    if std::env::var_os("MOTU_BLESS").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/host/wit/tests/all.luau");
        std::fs::write(path, &files[0].1).unwrap();
    }
    assert_eq!(files[0].1, include_str!("all.luau"));
    assert_eq!(files[1].1, files[0].1.replace("@acme/crm,", "@acme/crm@1,"));
}

#[test]
fn names_and_comments_that_are_in_the_way() {
    let text = "/// One\r/// --!nocheck\npackage a:end;\ninterface i {\n  resource end { repeat: static func(until: u8); }\n  \
                /// ]] @x\n  record end-methods { nil: u8 }\n  enum e { a }\n}\ninterface j { enum e { b } type je = e; }";
    let (name, text) = luau_types(&[parse(text).unwrap()]).unwrap().remove(0);
    assert_eq!(name, "a/end.luau");
    let expected = "--!strict
-- The types of @a/end, made by Motu from the WIT of a:end@0.0.0: what is changed here is lost.
-- One
-- /// --!nocheck

type EndMethods_ = {
\t__index: EndMethods_,
}
export type End = typeof(setmetatable({} :: {}, {} :: EndMethods_))

--- ]] @x
export type EndMethods = {
\tnil_: number,
}

export type IE = \"a\"

export type JE = \"b\"

export type Je = JE

local end_ = {}

local end__ = {}

--- Grant: `a:end/i.end.repeat`
function end__.repeat_(until_: number): ()
end

end_.end_ = end__

return end_
";
    assert_eq!(text, expected);
}
