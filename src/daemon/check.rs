//! `supervisor check`: the preflight's findings, printed.

use std::process::ExitCode;

use super::preflight::{self, Finding, Findings, Level, Occasion};
use crate::cli::{CheckArgs, Exit};
use crate::config::Loaded;

/// Checks configuration and machine, and changes nothing. Exit code 1 where `run` would refuse to start.
#[must_use]
pub fn check(args: &CheckArgs) -> ExitCode {
    if let Err(error) = super::start::keep_secrets_out_of_core_files() {
        eprintln!("core files cannot be prevented: {error}");
        return Exit::Refused.into();
    }
    let mut loaded = match Loaded::from_file(&args.config) {
        Ok(loaded) => loaded,
        Err(error) => return refused(&error, args.json),
    };
    let (findings, _) = preflight::look(&mut loaded, &args.command, Occasion::Check);
    let worst = findings.worst();
    if args.json {
        println!("{}", json(&findings, worst));
    } else {
        print!("{}", text(&findings, worst));
    }
    if worst == Level::Error {
        Exit::Refused.into()
    } else {
        Exit::Done.into()
    }
}

fn refused(error: &crate::config::ConfigError, as_json: bool) -> ExitCode {
    let text = super::perform::chain(error);
    if as_json {
        let finding = Finding {
            item: "config",
            level: Level::Error,
            text,
        };
        println!("{}", json(&Findings(vec![finding]), Level::Error));
    } else {
        eprintln!("{text}");
    }
    Exit::Refused.into()
}

fn word(level: Level) -> &'static str {
    match level {
        Level::Good => "ok",
        Level::Warning => "warning",
        Level::Error => "error",
    }
}

fn json(findings: &Findings, worst: Level) -> serde_json::Value {
    let list: Vec<_> = findings.0.iter().map(|finding| serde_json::json!({ "item": finding.item, "level": word(finding.level), "text": finding.text })).collect();
    serde_json::json!({ "v": 1, "result": word(worst), "findings": list })
}

/// Problems last, where a terminal shows them.
fn text(findings: &Findings, worst: Level) -> String {
    let mut sorted: Vec<&Finding> = findings.0.iter().collect();
    sorted.sort_by_key(|finding| finding.level);
    let mut text: String = sorted
        .iter()
        .map(|finding| {
            format!(
                "{:<8} {:<10} {}\n",
                word(finding.level),
                finding.item,
                finding.text
            )
        })
        .collect();
    text.push_str(match worst {
        Level::Good => "all is well\n",
        Level::Warning => "it would run; see the warnings\n",
        Level::Error => "it would not run\n",
    });
    text
}
