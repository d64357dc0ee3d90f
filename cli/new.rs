//! `motu new`: a bundle that works, to start from. What it writes is in `template/`.

use std::fs;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use crate::args::New;
use crate::failure::Failure;
use crate::print;
use crate::providers::Providers;

const FILES: [(&str, &str); 5] = [
    ("init.luau", include_str!("template/init.luau")),
    ("lib/greeting.luau", include_str!("template/lib/greeting.luau")),
    // Not named .test.luau over there, lest `motu test` in this folder run it.
    ("lib/greeting.test.luau", include_str!("template/lib/greeting_test.luau")),
    // Not named .luaurc over there, lest editors take it for the settings of this folder.
    (".luaurc", include_str!("template/luaurc.json")),
    ("README.md", include_str!("template/README.md")),
];

pub(crate) fn new(new: &New) -> ExitCode {
    let dir = &new.dir;
    match write(dir) {
        Ok(()) => {
            let shown = dir.display();
            let event = "--event greet --data '{\"name\":\"Ada\"}'";
            let text = format!("{shown} is ready. Try:\n  motu run {shown} {event}\n  motu test {shown}\n");
            print(&text, ExitCode::SUCCESS)
        }
        Err(failure) => failure.show(),
    }
}

fn write(dir: &Path) -> Result<(), Failure> {
    let failed =
        |path: &Path, error: &io::Error| Failure::usage(format!("{} can't be written: {error}", path.display()));
    match fs::read_dir(dir) {
        Ok(mut entries) => {
            if entries.next().is_some() {
                let message = format!("{} is not empty; nothing was written", dir.display());
                return Err(Failure::usage(message));
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(dir, &error)),
    }
    for (name, contents) in FILES {
        let path = dir.join(name);
        let folder = path.parent().unwrap_or(dir);
        fs::create_dir_all(folder).map_err(|error| failed(folder, &error))?;
        fs::write(&path, contents).map_err(|error| failed(&path, &error))?;
    }
    crate::types::write(dir, &Providers::default()).map(drop)
}
