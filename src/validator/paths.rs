//! Settles which files and address the validator uses, once configuration and command line are put together.

use std::path::{Path, PathBuf};

use super::command_line::CommandLine;
use crate::config::{IdentityConfig, ValidatorConfig};

/// What the validator uses. Nothing is open any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValidatorPaths {
    /// The symlink that is the validator's `--identity`.
    pub link: PathBuf,
    pub staked: PathBuf,
    pub unstaked: PathBuf,
    /// At least one.
    pub authorized_voters: Vec<PathBuf>,
    pub ledger: PathBuf,
    /// Where towers are; vote histories are always in the ledger.
    pub tower: PathBuf,
    /// URL of the validator's JSON-RPC.
    pub rpc: String,
}

/// Something that neither the configuration nor the command line says, or says in a way that cannot work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsettled {
    #[error(
        "identity.link is not set and the validator's command line shows no --identity (a start script hides it): \
         set identity.link to the symlink that the validator is given as --identity"
    )]
    Link,
    #[error(
        "the validator is given --identity {}, which is also identity.{key}: give it a symlink of its own, \
         which the supervisor points at the staked or the unstaked keypair", link.display()
    )]
    LinkIsKeypair { link: PathBuf, key: &'static str },
    #[error(
        "validator.ledger is not set and the validator's command line shows no --ledger (a start script hides it): \
         set validator.ledger to the validator's ledger directory"
    )]
    Ledger,
    #[error(
        "validator.rpc is not set and the validator's command line shows no --rpc-port (a start script hides it): \
         set validator.rpc to the URL of the validator's JSON-RPC, and give it --rpc-port PORT --private-rpc"
    )]
    Rpc,
}

impl ValidatorPaths {
    /// From a configuration that was filled from the command line. All that is missing is said at once.
    pub fn settle(
        identity: &IdentityConfig,
        validator: &ValidatorConfig,
    ) -> Result<Self, Vec<Unsettled>> {
        let mut open = Vec::new();
        let link = usable_link(identity, &mut open);
        let ledger = or_note(validator.ledger.clone(), Unsettled::Ledger, &mut open);
        let rpc = or_note(validator.rpc.clone(), Unsettled::Rpc, &mut open);
        match (link, ledger, rpc) {
            (Some(link), Some(ledger), Some(rpc)) => Ok(Self {
                authorized_voters: voters(identity, &link),
                link,
                staked: identity.staked.clone(),
                unstaked: identity.unstaked.clone(),
                tower: validator.tower.clone().unwrap_or_else(|| ledger.clone()),
                ledger,
                rpc,
            }),
            _ => Err(open),
        }
    }
}

fn or_note<T>(value: Option<T>, missing: Unsettled, open: &mut Vec<Unsettled>) -> Option<T> {
    if value.is_none() {
        open.push(missing);
    }
    value
}

fn usable_link(identity: &IdentityConfig, open: &mut Vec<Unsettled>) -> Option<PathBuf> {
    let link = or_note(identity.link.clone(), Unsettled::Link, open)?;
    let keypairs = [
        ("staked", &identity.staked),
        ("unstaked", &identity.unstaked),
    ];
    let same = keypairs.into_iter().find(|(_, file)| **file == link);
    if let Some((key, _)) = same {
        open.push(Unsettled::LinkIsKeypair { link, key });
        return None;
    }
    Some(link)
}

/// A voter given as the link means the staked key: an unstaked one votes for nothing.
fn voters(identity: &IdentityConfig, link: &Path) -> Vec<PathBuf> {
    let Some(given) = &identity.authorized_voters else {
        return vec![identity.staked.clone()];
    };
    let mut voters: Vec<PathBuf> = Vec::new();
    for voter in given {
        let voter = if voter == link {
            &identity.staked
        } else {
            voter
        };
        if !voters.contains(voter) {
            voters.push(voter.clone());
        }
    }
    voters
}

/// A key that the configuration and the command line set differently. The configuration's value is used, and a
/// wrong one there makes us look after a directory that the validator does not use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{key} ({}) differs from {flag} ({}) of the validator's command line: remove {key}, or correct it",
    configured.display(), given.display()
)]
pub struct Disagreement {
    pub key: &'static str,
    pub flag: &'static str,
    pub configured: PathBuf,
    pub given: PathBuf,
}

/// Every such key. Paths that lead to the same place through symlinks agree.
#[must_use]
pub fn disagreements(
    identity: &IdentityConfig,
    validator: &ValidatorConfig,
    line: &CommandLine,
) -> Vec<Disagreement> {
    // Without --tower, towers are in the ledger.
    let tower_given = line.tower.as_ref().or(line.ledger.as_ref());
    let compared = [
        (
            "identity.link",
            "--identity",
            identity.link.as_ref(),
            line.identity.as_ref(),
        ),
        (
            "validator.ledger",
            "--ledger",
            validator.ledger.as_ref(),
            line.ledger.as_ref(),
        ),
        (
            "validator.tower",
            "--tower",
            validator.tower.as_ref(),
            tower_given,
        ),
    ];
    compared
        .into_iter()
        .filter_map(|(key, flag, configured, given)| {
            let (configured, given) = (configured?, given?);
            let differs = if key == "identity.link" {
                !same_link(configured, given)
            } else {
                !same_place(configured, given)
            };
            differs.then(|| Disagreement {
                key,
                flag,
                configured: configured.clone(),
                given: given.clone(),
            })
        })
        .collect()
}

fn same_place(a: &Path, b: &Path) -> bool {
    a == b || matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

/// Two links are the same only in the same directory under the same name, wherever they point.
fn same_link(a: &Path, b: &Path) -> bool {
    let same_dir = match (a.parent(), b.parent()) {
        (Some(a), Some(b)) => same_place(a, b),
        _ => false,
    };
    a == b || (same_dir && a.file_name() == b.file_name())
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;
    use crate::config::Loaded;

    const CONFIG: &str =
        "[identity]\nstaked = \"/k/staked.json\"\nunstaked = \"/k/unstaked.json\"\n";

    fn line(line: &str) -> CommandLine {
        let argv: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
        CommandLine::read(&argv, Path::new("/home/sol"))
    }

    fn settle(config: &str, command: &str) -> Result<ValidatorPaths, Vec<Unsettled>> {
        let mut loaded = Loaded::parse(&format!("{CONFIG}{config}"), "a").unwrap();
        loaded.fill(line(command).for_config());
        ValidatorPaths::settle(&loaded.config.identity, &loaded.config.validator)
    }

    #[test]
    fn the_command_line_of_a_validator_is_enough() {
        let paths = settle("", "agave-validator -i /k/id.json -l /l --rpc-port 8899").unwrap();
        let expected = ValidatorPaths {
            link: "/k/id.json".into(),
            staked: "/k/staked.json".into(),
            unstaked: "/k/unstaked.json".into(),
            authorized_voters: vec!["/k/staked.json".into()],
            ledger: "/l".into(),
            tower: "/l".into(),
            rpc: "http://127.0.0.1:8899".into(),
        };
        assert_eq!(paths, expected);
    }

    #[test]
    fn the_configuration_goes_before_the_command_line() {
        let config = "link = \"/c/id.json\"\n[validator]\nledger = \"/c/l\"\ntower = \"/c/t\"\nrpc = \"http://c:1\"";
        let command = "agave-validator -i /k/id.json -l /l --rpc-port 8899 --tower /t";
        let paths = settle(config, command).unwrap();
        assert_eq!(paths.link, Path::new("/c/id.json"));
        assert_eq!((paths.ledger, paths.tower), ("/c/l".into(), "/c/t".into()));
        assert_eq!(paths.rpc, "http://c:1");
    }

    #[test]
    fn a_start_script_leaves_all_open_and_every_key_is_named() {
        let open = settle("", "/home/sol/start.sh").unwrap_err();
        assert_eq!(open, [Unsettled::Link, Unsettled::Ledger, Unsettled::Rpc]);
        for (missing, key) in
            open.iter()
                .zip(["identity.link", "validator.ledger", "validator.rpc"])
        {
            assert!(
                missing.to_string().contains(&format!("set {key} to")),
                "{missing}"
            );
        }
    }

    #[test]
    fn a_keypair_where_the_link_belongs_is_refused() {
        let open = settle("", "agave-validator -i /k/staked.json --rpc-port 1").unwrap_err();
        assert_eq!(
            open[0].to_string(),
            "the validator is given --identity /k/staked.json, which is also identity.staked: give it a symlink of its \
             own, which the supervisor points at the staked or the unstaked keypair"
        );
    }

    #[test]
    fn voters_come_from_the_command_line_and_the_link_among_them_means_the_staked_key() {
        let base = "agave-validator -i /k/id.json --rpc-port 1 --authorized-voter";
        let voters = |given: &str| {
            settle("", &format!("{base} {given}"))
                .unwrap()
                .authorized_voters
        };
        assert_eq!(voters("/k/v.json"), [PathBuf::from("/k/v.json")]);
        assert_eq!(
            voters("/k/id.json /k/staked.json"),
            [PathBuf::from("/k/staked.json")]
        );
    }

    #[test]
    fn a_configured_directory_that_the_validator_does_not_use_is_reported() {
        let dir = tempfile::tempdir().unwrap();
        let (real, alias) = (dir.path().join("real"), dir.path().join("alias"));
        std::fs::create_dir(&real).unwrap();
        std::os::unix::fs::symlink(&real, &alias).unwrap();
        let report = |ledger: &Path, command: &str| {
            let config = format!("{CONFIG}[validator]\nledger = {ledger:?}\n");
            let config = Loaded::parse(&config, "a").unwrap().config;
            disagreements(&config.identity, &config.validator, &line(command))
        };
        let alias_given = format!("agave-validator -l {}", alias.display());
        assert_eq!(report(&real, &alias_given), []);
        let differing = report(Path::new("/other"), "agave-validator -l /l --tower /other");
        assert_eq!(
            differing
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>(),
            [
                "validator.ledger (/other) differs from --ledger (/l) of the validator's command line: \
              remove validator.ledger, or correct it"
            ]
        );
        assert_eq!(
            report(Path::new("/other"), "agave-validator -l /l").len(),
            1
        );
        assert_eq!(report(Path::new("/other"), "start.sh"), []);
    }
}
