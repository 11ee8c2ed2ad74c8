//! The command line, in the form of agave-validator's.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use testkit::faults::Faults;
use testkit::keys;

/// What the command line says.
#[derive(Debug)]
pub(crate) struct Flags {
    pub(crate) identity: PathBuf,
    pub(crate) vote_account: String,
    pub(crate) authorized_voters: Vec<PathBuf>,
    pub(crate) ledger: PathBuf,
    pub(crate) tower: PathBuf,
    pub(crate) rpc: Option<SocketAddr>,
    /// None is the standard error.
    pub(crate) log: Option<PathBuf>,
    pub(crate) chain: SocketAddr,
    pub(crate) node: String,
    pub(crate) alpenglow: bool,
    /// Whether setIdentity takes two parameters, as up to 4.0.
    pub(crate) old_admin: bool,
    given_faults: Faults,
    faults_file: Option<PathBuf>,
}

impl Flags {
    pub(crate) fn read(args: impl Iterator<Item = String>) -> Result<Self, String> {
        let given = Given::read(args)?;
        let ledger: PathBuf = given.required("--ledger", "-l")?.into();
        let mut given_faults = Faults::default();
        given
            .all("--stand-in-fault")
            .try_for_each(|pair| given_faults.add(pair))?;
        Ok(Self {
            identity: given.required("--identity", "-i")?.into(),
            vote_account: vote_account(given.required("--vote-account", "")?)?,
            authorized_voters: given.all("--authorized-voter").map(PathBuf::from).collect(),
            tower: given
                .one("--tower")
                .map_or_else(|| ledger.clone(), PathBuf::from),
            ledger,
            rpc: rpc(&given)?,
            log: given
                .one("--log")
                .or(given.one("-o"))
                .filter(|log| *log != "-")
                .map(PathBuf::from),
            chain: parse(
                "--stand-in-chain",
                &given
                    .of_stand_in("chain")
                    .ok_or("--stand-in-chain is missing")?,
            )?,
            node: given
                .of_stand_in("node")
                .unwrap_or_else(|| std::process::id().to_string()),
            alpenglow: choice(&given, "protocol", ["tower", "alpenglow"])?,
            old_admin: choice(&given, "admin-version", ["4.2", "2"])?,
            given_faults,
            faults_file: given.of_stand_in("faults").map(PathBuf::from),
        })
    }

    /// Vote histories are always in the ledger (agave-validator 4.2.2, `commands/run/execute.rs`); towers where `--tower` says.
    pub(crate) fn records(&self, alpenglow: bool) -> &Path {
        if alpenglow { &self.ledger } else { &self.tower }
    }

    /// The faults in force at this moment.
    pub(crate) fn faults(&self) -> Result<Faults, String> {
        match &self.faults_file {
            Some(file) => self.given_faults.with_file(file),
            None => Ok(self.given_faults.clone()),
        }
    }
}

/// Flags and their values, in order. A flag that is followed by another one has none.
struct Given(Vec<(String, String)>);

impl Given {
    fn read(args: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut given: Vec<(String, String)> = Vec::new();
        let mut may_follow = false;
        for arg in args {
            let is_flag = arg.starts_with('-') && arg != "-";
            match (is_flag, arg.split_once('=')) {
                (true, Some((flag, value))) => given.push((flag.to_owned(), value.to_owned())),
                (true, None) => given.push((arg.clone(), String::new())),
                (false, _) if may_follow => {
                    if let Some((_, value)) = given.last_mut() {
                        *value = arg.clone();
                    }
                }
                // The sub-command of the real one.
                (false, _) if arg == "run" && given.is_empty() => {}
                (false, _) => return Err(format!("unexpected argument `{arg}`")),
            }
            may_follow = is_flag && !arg.contains('=');
        }
        Ok(Self(given))
    }

    fn all<'a>(&'a self, flag: &'a str) -> impl Iterator<Item = &'a str> {
        self.0
            .iter()
            .filter(move |(name, _)| name == flag)
            .map(|(_, value)| value.as_str())
    }

    fn one(&self, flag: &str) -> Option<&str> {
        self.0
            .iter()
            .rev()
            .find(|(name, _)| name == flag)
            .map(|(_, value)| value.as_str())
    }

    fn required(&self, flag: &str, short: &str) -> Result<&str, String> {
        let value = self.one(flag).or_else(|| self.one(short));
        value
            .filter(|value| !value.is_empty())
            .ok_or_else(|| format!("{flag} is missing"))
    }

    /// `--stand-in-<name>`, or else its environment variable.
    fn of_stand_in(&self, name: &str) -> Option<String> {
        let variable = format!("STAND_IN_{}", name.replace('-', "_").to_uppercase());
        let given = self.one(&format!("--stand-in-{name}")).map(str::to_owned);
        given.or_else(|| std::env::var(variable).ok())
    }
}

/// Whether the second of two choices is made; the first is made when nothing is said.
fn choice(given: &Given, name: &str, [first, second]: [&str; 2]) -> Result<bool, String> {
    match given.of_stand_in(name) {
        None => Ok(false),
        Some(value) if value == first => Ok(false),
        Some(value) if value == second => Ok(true),
        Some(value) => Err(format!(
            "--stand-in-{name} is `{value}`, not {first} or {second}"
        )),
    }
}

/// An address, or a keypair file with the account's key.
fn vote_account(value: &str) -> Result<String, String> {
    match bs58::decode(value).into_vec() {
        Ok(bytes) if bytes.len() == 32 => Ok(value.to_owned()),
        _ => keys::read(value.as_ref())
            .map(|key| keys::address(&key))
            .map_err(|error| format!("--vote-account {value}: {error}")),
    }
}

fn rpc(given: &Given) -> Result<Option<SocketAddr>, String> {
    let Some(port) = given.one("--rpc-port") else {
        return Ok(None);
    };
    let address = match given.one("--rpc-bind-address") {
        Some(address) => parse("--rpc-bind-address", address)?,
        None => IpAddr::V4(Ipv4Addr::LOCALHOST),
    };
    Ok(Some(SocketAddr::new(address, parse("--rpc-port", port)?)))
}

fn parse<T: std::str::FromStr>(flag: &str, value: &str) -> Result<T, String> {
    value
        .parse()
        .map_err(|_| format!("{flag}: `{value}` cannot be read"))
}
