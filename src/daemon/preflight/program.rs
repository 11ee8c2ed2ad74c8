//! Is the command behind `--` something that can be run behind the gate?

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::{Findings, Level};
use crate::validator::command_line::CommandLine;
use crate::validator::process;

/// `program` is what [`find_program`] has found for the first word of `argv`.
pub(super) fn command(
    findings: &mut Findings,
    program: Result<PathBuf, String>,
    argv: &[OsString],
    line: &CommandLine,
) -> Option<process::CommandLine> {
    let path = findings.need("command", program)?;
    findings.need("command", without_file_capabilities(&path))?;
    if line.identity_is_asked_for {
        findings.add(
            "command",
            Level::Error,
            "--identity ASK reads a seed phrase from a terminal: give it the identity link",
        );
    }
    if let Some(text) = line.unguarded() {
        findings.add("command", Level::Error, text);
    }
    if line.no_voting {
        findings.add(
            "command",
            Level::Warning,
            "--no-voting: this validator never votes, whatever its identity",
        );
    }
    let kind = if line.is_validator {
        "validator"
    } else {
        "start script"
    };
    findings.add(
        "command",
        Level::Good,
        format!("{} ({kind})", path.display()),
    );
    Some(process::CommandLine {
        program: path.into_os_string(),
        args: argv.get(1..).unwrap_or_default().to_vec(),
    })
}

/// As the shell would find it.
pub(super) fn find_program(program: &OsString) -> Result<PathBuf, String> {
    let given = Path::new(program);
    let found = if given.components().count() > 1 {
        given.to_owned()
    } else {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut candidates = std::env::split_paths(&path).map(|dir| dir.join(given));
        candidates
            .find(|candidate| candidate.is_file())
            .ok_or_else(|| {
                format!(
                    "{} is in no directory of PATH ({}): give its full path",
                    given.display(),
                    path.display()
                )
            })?
    };
    let metadata = std::fs::metadata(&found).map_err(|error| {
        format!(
            "{}: {error}: check the command behind `--`",
            found.display()
        )
    })?;
    if !metadata.is_file() {
        return Err(format!(
            "{} is not a file: give the validator or its start script",
            found.display()
        ));
    }
    nix::unistd::access(&found, nix::unistd::AccessFlags::X_OK).map_err(|_| {
        format!(
            "{} is not executable for this user: `chmod +x {}`",
            found.display(),
            found.display()
        )
    })?;
    Ok(found)
}

/// A binary with file capabilities loses the signal that ends it with its supervisor, and without CAP_SYS_ADMIN the gate's
/// filter makes the kernel ignore those capabilities.
pub(in crate::daemon) fn without_file_capabilities(path: &Path) -> Result<(), String> {
    if !has_attribute(path, c"security.capability") {
        return Ok(());
    }
    let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let path = path.display();
    Err(format!(
        "{path} carries file capabilities (`getcap {path}`), which do not work behind the vote gate: remove them with `setcap -r {path}` \
         and give them in the unit as AmbientCapabilities="
    ))
}

fn has_attribute(path: &Path, name: &std::ffi::CStr) -> bool {
    use std::os::unix::ffi::OsStrExt as _;
    let Ok(path) = std::ffi::CString::new(path.as_os_str().as_bytes()) else {
        return false;
    };
    // SAFETY: both strings have an end, and with length 0 nothing is written.
    let len = unsafe { libc::getxattr(path.as_ptr(), name.as_ptr(), std::ptr::null_mut(), 0) };
    len > 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errors(words: &[&str]) -> Vec<String> {
        let argv: Vec<OsString> = words.iter().map(OsString::from).collect();
        let line = CommandLine::read(&argv, Path::new("/"));
        let mut findings = Findings::default();
        let _ = command(&mut findings, find_program(&argv[0]), &argv, &line);
        findings.errors()
    }

    #[test]
    fn a_validator_that_keeps_its_tower_elsewhere_is_refused_by_name() {
        let base = ["/bin/sh", "--identity", "/k", "--tower-storage"];
        assert_eq!(errors(&[&base[..], &["file"]].concat()), [""; 0]);
        let errors = errors(&[&base[..], &["etcd"]].concat());
        assert_eq!(errors.len(), 1);
        assert!(errors[0].contains("--tower-storage etcd"), "{errors:?}");
    }
}
