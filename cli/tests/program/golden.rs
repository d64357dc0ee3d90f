//! Each file in `tests/cases` is a test file, and beside it is what `motu test` says of it, without the times. `MOTU_BLESS=1`
//! writes that.

use std::path::{Path, PathBuf};
use std::{env, fs};

use crate::motu_in;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases")
}

/// What is said, but for how long it took, and how many bytes the growth would have taken that was one too many: that goes
/// by what the VM has besides.
fn without_times(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        if let Some((before, after)) = line.split_once(" bytes were needed") {
            let before = before.trim_end_matches(|c: char| c.is_ascii_digit());
            out.push_str(&format!("{before}N bytes were needed{after}\n"));
            continue;
        }
        let of_case = ["  ok ", "  FAIL ", "  skip "].iter().any(|start| line.starts_with(start));
        let cut = match line {
            _ if of_case && (line.ends_with(" ms)") || line.ends_with(" s)")) => line.rfind(" ("),
            _ if line.contains(" passed") => line.rfind(", in "),
            _ => None,
        };
        out.push_str(cut.and_then(|cut| line.get(..cut)).unwrap_or(line));
        out.push('\n');
    }
    out
}

#[test]
fn cases_come_out_as_written() {
    let folder = folder();
    let mut names: Vec<String> =
        fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| name.ends_with(".test.luau"));
    names.sort();
    assert!(names.len() >= 12, "{names:?}");
    let mut wrong = Vec::new();
    for name in names {
        let mut args = vec!["test", &name, "--seed", "1", "--deadline-ms", "unlimited", "--memory-mib", "256"];
        if name.starts_with("limits") {
            args.extend(["--fuel", "2000000000"]); // not what takes seconds
        }
        let ran = motu_in(&folder, &args);
        let text = format!("{}{}exit status {}\n", without_times(&ran.out), ran.err, ran.code);
        let golden = folder.join(name.replace(".test.luau", ".txt"));
        if env::var_os("MOTU_BLESS").is_some() {
            fs::write(&golden, &text).unwrap();
        } else if text != fs::read_to_string(&golden).unwrap_or_default() {
            wrong.push(format!("{name}:\n{text}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
