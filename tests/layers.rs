//! The import arrows of the design, read from the sources; and what a file may hold.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

const LINES_MAX: usize = 500;
/// A list of tests reads well at more.
const LINES_MAX_OF_TESTS: usize = 700;

/// Layers of the crate that each layer may import. `main`, `lib` and tests within the sources are free.
const ARROWS: &[(&str, &[&str])] = &[
    ("cli", &["daemon", "ctl", "config"]),
    ("config", &[]),
    ("engine", &[]),
    ("validator", &["engine", "config"]),
    ("authority", &["engine", "config"]),
    ("probe", &["engine", "config"]),
    ("pki", &["config"]),
    ("ctl", &["engine", "config"]),
];

/// What a pure engine never names.
const IMPURE: &[&str] = &[
    "std::time",
    "std::fs",
    "std::thread",
    "std::env",
    "std::process",
    "std::net",
    "std::io",
    "std::sync",
    "std::os",
    "tokio",
    "rand",
    "async fn",
    ".await;",
    ".await?",
    ".await)",
    "Instant",
    "SystemTime",
    "HashMap",
    "HashSet",
    "println!",
    "eprintln!",
    "unsafe {",
    "unsafe fn",
    "unsafe impl",
    "tracing",
    "serde",
];

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(dir) else {
        return;
    };
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            found.push(path);
        }
    }
    found.sort();
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every source below `dir` with its text free of comments; a module of tests at the end of a file is cut off.
fn code(dir: &str) -> BTreeMap<PathBuf, String> {
    let mut found = Vec::new();
    sources(&root().join(dir), &mut found);
    let strip = |text: String| {
        let text = text
            .split("#[cfg(test)]\nmod tests {")
            .next()
            .unwrap_or_default()
            .to_owned();
        text.lines()
            .map(|line| line.split("//").next().unwrap_or_default())
            .collect::<Vec<_>>()
            .join("\n")
    };
    found
        .into_iter()
        .map(|path| {
            (
                path.clone(),
                strip(fs::read_to_string(&path).unwrap_or_default()),
            )
        })
        .collect()
}

/// The layer a file belongs to: the first name below `src`.
fn layer(path: &Path) -> String {
    let below = path.strip_prefix(root().join("src")).unwrap_or(path);
    let first = below
        .components()
        .next()
        .map(|part| part.as_os_str().to_string_lossy().into_owned())
        .unwrap_or_default();
    first.trim_end_matches(".rs").to_owned()
}

/// The layers named after `crate::` in a text, also within `use crate::{a::…, b::…}`.
fn imports(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    for after in text.split("crate::").skip(1) {
        if let Some(list) = after.strip_prefix('{') {
            let mut depth = 0;
            let mut word = String::new();
            for letter in list.chars() {
                match letter {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => names.push(std::mem::take(&mut word)),
                    _ if depth == 0 => word.push(letter),
                    _ => {}
                }
            }
            names.push(word);
        } else {
            names.push(after.to_owned());
        }
    }
    let first = |name: &String| {
        name.trim()
            .chars()
            .take_while(|letter| letter.is_alphanumeric() || *letter == '_')
            .collect::<String>()
    };
    names
        .iter()
        .map(first)
        .filter(|name| !name.is_empty())
        .collect()
}

#[test]
fn every_layer_imports_only_what_lies_below_it() {
    let mut wrong = Vec::new();
    for (path, text) in code("src") {
        let layer = layer(&path);
        let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == layer) else {
            continue;
        };
        for name in imports(&text) {
            let is_layer = ARROWS.iter().any(|(other, _)| *other == name) || name == "daemon";
            if is_layer && name != layer && !allowed.contains(&name.as_str()) {
                wrong.push(format!("{}: {layer} imports {name}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn only_values_and_inputs_of_the_engine_are_known_to_the_layers_beside_the_daemon() {
    let open = ["Engine,", "Engine::", "Engine}", "{Engine"];
    for (path, text) in code("src").into_iter().filter(|(path, _)| {
        ["validator", "authority", "probe", "ctl"].contains(&layer(path).as_str())
    }) {
        for line in text.lines().filter(|line| line.contains("crate::engine")) {
            assert!(
                !open.iter().any(|word| line.contains(word)),
                "{}: {line}",
                path.display()
            );
        }
    }
}

#[test]
fn the_engine_is_pure() {
    for (path, text) in code("src/engine") {
        for word in IMPURE {
            assert!(!text.contains(word), "{} names {word}", path.display());
        }
        for import in text
            .lines()
            .filter_map(|line| line.trim().strip_prefix("use "))
        {
            let local = [
                "super::",
                "self::",
                "crate::engine::",
                "std::",
                "state::",
                "table::",
                "values::",
            ];
            assert!(
                local.iter().any(|start| import.starts_with(start)),
                "{} imports {import}",
                path.display()
            );
        }
    }
}

#[test]
fn simulation_and_model_know_nothing_but_the_engine() {
    for (path, text) in code("tests/sim").into_iter().chain(code("tests/model")) {
        for after in text.split("validator_supervisor::").skip(1) {
            assert!(
                after.starts_with("engine"),
                "{}: validator_supervisor::{}",
                path.display(),
                &after[..after.len().min(20)]
            );
        }
    }
}

#[test]
fn no_source_outgrows_its_subject() {
    for (path, _) in code("src") {
        let lines = fs::read_to_string(&path)
            .unwrap_or_default()
            .lines()
            .count();
        let limit = if path.ends_with("tests.rs") {
            LINES_MAX_OF_TESTS
        } else {
            LINES_MAX
        };
        assert!(
            lines <= limit,
            "{} has {lines} lines; {limit} are enough for one thing",
            path.display()
        );
    }
}

/// A page that shows the diagram shows the one the table makes.
#[test]
fn a_diagram_in_the_docs_is_the_one_of_the_table() {
    let mut pages = vec![root().join("README.md")];
    pages.extend(
        fs::read_dir(root().join("docs"))
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path()),
    );
    let diagram = validator_supervisor::engine::table::diagram();
    for page in pages {
        let text = fs::read_to_string(&page).unwrap_or_default();
        assert!(
            !text.contains("stateDiagram-v2") || text.contains(diagram.trim()),
            "{} carries another diagram",
            page.display()
        );
    }
}

#[test]
fn imports_are_found_in_every_form() {
    let text = "use crate::engine::values;\nuse crate::{config, ctl::{wire, client}, daemon};\nlet x = crate::probe::y();";
    assert_eq!(
        imports(text),
        ["engine", "config", "ctl", "daemon", "probe"]
    );
}

/// Nothing that another node says can start a program: what hears it knows no way to.
#[test]
fn programs_are_started_by_the_configuration_and_the_command_line_alone() {
    let starts = [
        "Command::new(",
        "execve",
        "execvp",
        "posix_spawn",
        "libc::system",
    ];
    let sources = code("src").into_iter();
    let starting: Vec<PathBuf> = sources
        .filter(|(_, text)| starts.iter().any(|word| text.contains(word)))
        .map(|(path, _)| path)
        .collect();
    let allowed = ["src/daemon/fence.rs", "src/validator/process.rs"].map(|path| root().join(path));
    assert_eq!(starting, allowed);
}
