//! Reads what the supervisor needs to know from a validator's command line.
//!
//! Works on the COMMAND we are given and on `/proc/<pid>/cmdline` of a running process, for the flags of Agave
//! (names, short forms and defaults as in agave-validator 4.2, parsed the way its clap 2 does). It does not judge
//! flags that it does not need, and opens none of the files that they name; only of the program it sees whether it is a script.

use std::ffi::{OsStr, OsString};
use std::io::Read as _;
use std::net::IpAddr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::pubkey::Pubkey;
use crate::config::FromCommandLine;

/// Names under which the validator is built. A start script has another.
const VALIDATOR_NAMES: [&str; 3] = ["agave-validator", "jito-validator", "solana-validator"];

/// `--ledger` of a validator that is not given any.
const LEDGER_DEFAULT: &str = "ledger";

/// The `--tower-storage` that renames a file before every vote. Agave 2 also knew `etcd`.
const TOWER_STORAGE: &str = "file";

/// Asks for a seed phrase on the terminal, where a keypair file could stand.
const ASK: &str = "ASK";

/// What `--vote-account` names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VoteAccount {
    Address(Pubkey),
    /// A keypair file of that address.
    Keypair(PathBuf),
}

/// The flags of one command line. Paths are absolute.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommandLine {
    /// The program is a validator by its name or its flags, or starts the one that its arguments name; else it is a start script,
    /// whatever its arguments, or something else.
    pub is_validator: bool,
    pub identity: Option<PathBuf>,
    /// `--identity ASK`: a seed phrase typed on a terminal, which no service has.
    pub identity_is_asked_for: bool,
    pub authorized_voters: Vec<PathBuf>,
    pub vote_account: Option<VoteAccount>,
    /// Includes the default of a validator that is known by its name.
    pub ledger: Option<PathBuf>,
    pub tower: Option<PathBuf>,
    /// What `--tower-storage` names, unless that is `file`.
    pub tower_storage: Option<String>,
    /// URL to reach the JSON-RPC from this machine.
    pub rpc: Option<String>,
    /// `--no-voting`, or a mode that implies it.
    pub no_voting: bool,
}

impl CommandLine {
    /// Reads `argv`, the path of the program first; relative paths start at `cwd`. What a script is called with is no more than
    /// what it may pass on.
    #[must_use]
    pub fn read(argv: &[OsString], cwd: &Path) -> Self {
        let program = argv.first();
        if program.is_some_and(|program| is_script(&cwd.join(program))) {
            let flags = Flags::scan(&argv[1..], false);
            let is_validator = false;
            return Self {
                is_validator,
                ..flags.into_command_line(cwd, false)
            };
        }
        let named = argv.iter().position(|arg| is_validator_name(arg));
        let flags = match named {
            // What stands before the name belongs to a launcher such as numactl.
            Some(at) => Flags::scan(&argv[at + 1..], true),
            None => Flags::scan(argv.get(1..).unwrap_or_default(), false),
        };
        flags.into_command_line(cwd, named.is_some())
    }

    /// Reads the command line and working directory of a running process. One that has yet to become the validator, by an
    /// `exec` of its own, is none: a script, and a launcher such as numactl.
    pub fn of_process(pid: u32) -> std::io::Result<Self> {
        let proc = PathBuf::from(format!("/proc/{pid}"));
        let argv = split_cmdline(&std::fs::read(proc.join("cmdline"))?);
        let cwd = std::fs::read_link(proc.join("cwd"))?;
        let mut line = Self::read(&argv, &cwd);
        line.is_validator &= !starts_another(&argv, &cwd);
        Ok(line)
    }

    /// A flag with which no vote would pass the gate.
    #[must_use]
    pub fn unguarded(&self) -> Option<String> {
        let storage = self.tower_storage.as_ref()?;
        Some(format!(
            "--tower-storage {storage}: votes of this validator would not pass the vote gate, which works on tower files: \
             remove --tower-storage, or set it to {TOWER_STORAGE}"
        ))
    }

    /// What a configuration may leave to the command line.
    #[must_use]
    pub fn for_config(&self) -> FromCommandLine {
        let voters = &self.authorized_voters;
        FromCommandLine {
            link: self.identity.clone(),
            authorized_voters: (!voters.is_empty()).then(|| voters.clone()),
            ledger: self.ledger.clone(),
            tower: self.tower.clone(),
            rpc: self.rpc.clone(),
        }
    }
}

/// Splits the NUL-ended arguments of `/proc/<pid>/cmdline`.
fn split_cmdline(bytes: &[u8]) -> Vec<OsString> {
    let bytes = bytes.strip_suffix(b"\0").unwrap_or(bytes);
    if bytes.is_empty() {
        return Vec::new();
    }
    let args = bytes.split(|byte| *byte == 0);
    args.map(|arg| OsString::from_vec(arg.to_vec())).collect()
}

/// Arguments of an interpreter that may stand before its script: `bash -e -u start.sh`.
const BEFORE_SCRIPT_MAX: usize = 3;

/// Whether these are the arguments of a program that is to become the validator: the kernel puts the path of a script behind
/// that of its interpreter.
fn starts_another(argv: &[OsString], cwd: &Path) -> bool {
    let of_script = |arg: &OsString| is_script(&cwd.join(arg));
    match argv.iter().position(|arg| is_validator_name(arg)) {
        Some(at) => at > 0,
        None => argv.iter().skip(1).take(BEFORE_SCRIPT_MAX).any(of_script),
    }
}

/// Whether a file can be run, and names its interpreter in its first line.
#[must_use]
pub fn is_script(path: &Path) -> bool {
    let is_program = |metadata: std::fs::Metadata| {
        metadata.is_file() && metadata.permissions().mode() & 0o111 != 0
    };
    let mut mark = [0; 2];
    std::fs::metadata(path).is_ok_and(is_program)
        && std::fs::File::open(path).is_ok_and(|mut file| file.read_exact(&mut mark).is_ok())
        && mark == *b"#!"
}

/// `agave-validator`, also with a path before it or a version behind it.
fn is_validator_name(arg: &OsStr) -> bool {
    let name = Path::new(arg).file_name().and_then(OsStr::to_str);
    let Some(name) = name else {
        return false;
    };
    VALIDATOR_NAMES.iter().any(|known| {
        name.strip_prefix(known).is_some_and(|rest| {
            let version = rest
                .strip_prefix('-')
                .map(|v| v.strip_prefix('v').unwrap_or(v));
            rest.is_empty() || version.is_some_and(|v| v.starts_with(|c: char| c.is_ascii_digit()))
        })
    })
}

/// Flags with a value that we want.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flag {
    Identity,
    AuthorizedVoter,
    VoteAccount,
    Ledger,
    Tower,
    TowerStorage,
    RpcPort,
    RpcBindAddress,
    BindAddress,
}

const FLAGS: [(Flag, &str, Option<u8>); 9] = [
    (Flag::Identity, "--identity", Some(b'i')),
    (Flag::AuthorizedVoter, "--authorized-voter", None),
    (Flag::VoteAccount, "--vote-account", None),
    (Flag::Ledger, "--ledger", Some(b'l')),
    (Flag::Tower, "--tower", None),
    (Flag::TowerStorage, "--tower-storage", None),
    (Flag::RpcPort, "--rpc-port", None),
    (Flag::RpcBindAddress, "--rpc-bind-address", None),
    (Flag::BindAddress, "--bind-address", None),
];

impl Flag {
    /// These take every value up to the next flag.
    fn takes_many(self) -> bool {
        matches!(self, Self::AuthorizedVoter | Self::BindAddress)
    }

    /// The flag that an argument is, with its value if that is in the same argument.
    fn of(arg: &[u8], shorts: bool) -> Option<(Self, Option<&[u8]>)> {
        FLAGS.iter().find_map(|(flag, long, short)| {
            if let Some(rest) = arg.strip_prefix(long.as_bytes()) {
                return match rest {
                    [] => Some((*flag, None)),
                    [b'=', value @ ..] => Some((*flag, Some(value))),
                    _ => None,
                };
            }
            match arg {
                [b'-', letter, rest @ ..] if shorts && Some(*letter) == *short => {
                    let value = rest.strip_prefix(b"=").unwrap_or(rest);
                    Some((*flag, (!rest.is_empty()).then_some(value)))
                }
                _ => None,
            }
        })
    }
}

#[derive(Debug, Default)]
struct Flags {
    values: Vec<(Flag, OsString)>,
    private_rpc: bool,
    no_voting: bool,
}

impl Flags {
    /// `shorts`: also read `-i` and `-l`, which mean other things to other programs.
    fn scan(args: &[OsString], shorts: bool) -> Self {
        let mut found = Self::default();
        let mut open: Option<Flag> = None;
        for arg in args.iter().map(|arg| arg.as_bytes()) {
            if arg == b"--" {
                break;
            }
            if !arg.starts_with(b"-") || arg == b"-" {
                if let Some(flag) = open {
                    found.push(flag, arg);
                    open = flag.takes_many().then_some(flag);
                }
                continue;
            }
            open = None;
            match Flag::of(arg, shorts) {
                Some((flag, Some(value))) => found.push(flag, value),
                Some((flag, None)) => open = Some(flag),
                None => found.note_switch(arg),
            }
        }
        found
    }

    fn push(&mut self, flag: Flag, value: &[u8]) {
        self.values
            .push((flag, OsStr::from_bytes(value).to_owned()));
    }

    fn note_switch(&mut self, arg: &[u8]) {
        match arg {
            b"--private-rpc" => self.private_rpc = true,
            b"--no-voting" | b"--restricted-repair-only-mode" => self.no_voting = true,
            _ => {}
        }
    }

    fn all(&self, flag: Flag) -> impl Iterator<Item = &OsStr> {
        let of_flag = self.values.iter().filter(move |(f, _)| *f == flag);
        of_flag.map(|(_, value)| value.as_os_str())
    }

    fn first(&self, flag: Flag) -> Option<&OsStr> {
        self.all(flag).next()
    }

    fn into_command_line(self, cwd: &Path, named: bool) -> CommandLine {
        let path = |flag| self.first(flag).map(|value| absolute(value, cwd));
        let asked = self.first(Flag::Identity) == Some(OsStr::new(ASK));
        let default_ledger = || named.then(|| absolute(OsStr::new(LEDGER_DEFAULT), cwd));
        let by_flags = [Flag::Identity, Flag::Ledger, Flag::VoteAccount];
        CommandLine {
            is_validator: named || by_flags.iter().any(|flag| self.first(*flag).is_some()),
            identity: path(Flag::Identity).filter(|_| !asked),
            identity_is_asked_for: asked,
            authorized_voters: self
                .all(Flag::AuthorizedVoter)
                .filter(|value| *value != OsStr::new(ASK))
                .map(|value| absolute(value, cwd))
                .collect(),
            vote_account: self
                .first(Flag::VoteAccount)
                .map(|value| vote_account(value, cwd)),
            ledger: path(Flag::Ledger).or_else(default_ledger),
            tower: path(Flag::Tower),
            tower_storage: self
                .all(Flag::TowerStorage)
                .find(|value| *value != OsStr::new(TOWER_STORAGE))
                .map(|value| value.to_string_lossy().into_owned()),
            rpc: self.rpc_url(),
            no_voting: self.no_voting,
        }
    }

    /// The validator binds its RPC to `--rpc-bind-address`, else to loopback if it is private, else to the
    /// first `--bind-address`, else to every address.
    fn rpc_url(&self) -> Option<String> {
        let port: u16 = self.first(Flag::RpcPort)?.to_str()?.parse().ok()?;
        let bind = match self.first(Flag::RpcBindAddress) {
            Some(given) => Some(given),
            None if self.private_rpc => None,
            None => self.first(Flag::BindAddress),
        };
        let host = bind.map_or(Some("127.0.0.1"), OsStr::to_str)?;
        Some(match host.parse::<IpAddr>() {
            Ok(IpAddr::V4(ip)) if ip.is_unspecified() => format!("http://127.0.0.1:{port}"),
            Ok(IpAddr::V6(ip)) if ip.is_unspecified() => format!("http://[::1]:{port}"),
            Ok(IpAddr::V6(ip)) => format!("http://[{ip}]:{port}"),
            _ => format!("http://{host}:{port}"),
        })
    }
}

fn vote_account(value: &OsStr, cwd: &Path) -> VoteAccount {
    match value.to_str().and_then(|text| text.parse().ok()) {
        Some(address) => VoteAccount::Address(address),
        None => VoteAccount::Keypair(absolute(value, cwd)),
    }
}

/// Drops `.` parts and slashes that mean nothing, and keeps `..`, which a symlink may give another meaning.
fn absolute(value: &OsStr, cwd: &Path) -> PathBuf {
    cwd.join(value).components().collect()
}

#[cfg(test)]
mod tests;
