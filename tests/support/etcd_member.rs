//! One etcd server: its arguments, its process, its log.

use crate::children;
use crate::etcd_gateway::{Gateway, Status};
use crate::etcd_options::{Options, Place, Tls};
use crate::node::last_lines;
use crate::stand_in::until;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

/// Lines of a log that an error shows.
const LOG_LINES: usize = 20;
const READY_WITHIN_MS: u64 = 30_000;
/// A member answers this from its memory.
const STATUS_WITHIN: Duration = Duration::from_secs(2);

/// Where one member listens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Addresses {
    clients: SocketAddr,
    peers: SocketAddr,
    /// Without TLS, for the test alone.
    gateway: SocketAddr,
}

/// Free ports for every member. Somebody may take one before etcd does: whoever starts etcd tries again then.
pub(crate) fn free_addresses(options: &Options) -> io::Result<Vec<Addresses>> {
    // Connections to loopback come from 127.0.0.1, and may take any of its ports while a member is down. From a loopback
    // address of its own nothing comes.
    static CLUSTERS: AtomicU8 = AtomicU8::new(1);
    let cluster = CLUSTERS.fetch_add(1, Ordering::Relaxed);
    (0..options.members)
        .map(|index| {
            let member = u8::try_from(index + 1).map_err(io::Error::other)?;
            match options.places.get(index) {
                Some(place) => place.namespace.within(|| free(place.address))?,
                None => free(Ipv4Addr::new(127, process(), cluster, member)),
            }
        })
        .collect()
}

fn process() -> u8 {
    64 + u8::try_from(std::process::id() % 128).unwrap_or_default()
}

/// Every address that the first member of a cluster of this process may be given on loopback: for a certificate that is made
/// before it.
#[must_use]
pub fn possible_hosts() -> Vec<String> {
    let hosts = (1..=u8::MAX).map(|cluster| Ipv4Addr::new(127, process(), cluster, 1).to_string());
    hosts.collect()
}

fn free(ip: Ipv4Addr) -> io::Result<Addresses> {
    // All are held until all are known, so that no two are the same.
    let held = [ip, ip, ip].map(|ip| TcpListener::bind((ip, 0)));
    let [clients, peers, gateway] = held.map(|listener| listener?.local_addr());
    Ok(Addresses {
        clients: clients?,
        peers: peers?,
        gateway: gateway?,
    })
}

/// All that it takes to start a member, and to start it again.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    arguments: Vec<String>,
    endpoint: String,
    gateway: Gateway,
    log: PathBuf,
}

impl Plan {
    pub(crate) fn lay_out(
        options: &Options,
        dir: &Path,
        addresses: &[Addresses],
    ) -> io::Result<Vec<Self>> {
        let peers = addresses.iter().enumerate();
        let peers = peers.map(|(index, at)| format!("{}=http://{}", name(index), at.peers));
        let peers = peers.collect::<Vec<_>>().join(",");
        let plans = addresses.iter().enumerate();
        plans
            .map(|(index, at)| Self::of_one(options, dir, index, *at, &peers))
            .collect()
    }

    fn of_one(
        options: &Options,
        dir: &Path,
        index: usize,
        at: Addresses,
        peers: &str,
    ) -> io::Result<Self> {
        let scheme = if options.tls.is_some() {
            "https"
        } else {
            "http"
        };
        let endpoint = format!("{scheme}://{}", at.clients);
        let mut arguments = vec![
            format!("--name={}", name(index)),
            format!("--data-dir={}", dir.join(name(index)).display()),
            format!("--listen-client-urls={endpoint},http://{}", at.gateway),
            format!("--advertise-client-urls={endpoint}"),
            format!("--listen-peer-urls=http://{}", at.peers),
            format!("--initial-advertise-peer-urls=http://{}", at.peers),
            format!("--initial-cluster={peers}"),
            format!("--initial-cluster-token={}", dir.display()),
            "--logger=zap".to_owned(),
            "--log-outputs=stderr".to_owned(),
        ];
        let numbers = [
            ("heartbeat-interval", options.heartbeat_ms),
            ("election-timeout", options.election_ms),
            ("quota-backend-bytes", options.quota_bytes),
        ];
        for (flag, number) in numbers {
            arguments.extend(number.map(|number| format!("--{flag}={number}")));
        }
        if let Some(tls) = &options.tls {
            arguments.extend(tls_arguments(tls, &name(index), at)?);
        }
        arguments.extend(options.more.iter().cloned());
        let place: Option<&Place> = options.places.get(index);
        Ok(Self {
            arguments,
            endpoint,
            gateway: Gateway {
                address: at.gateway,
                namespace: place.map(|place| place.namespace.clone()),
            },
            log: dir.join(format!("{}.log", name(index))),
        })
    }

    fn spawn(&self) -> io::Result<Child> {
        let log = File::options().create(true).append(true).open(&self.log)?;
        let mut command = Command::new("etcd");
        // Variables named ETCD_… would be taken as arguments.
        command.env_clear();
        command.envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
        if cfg!(not(target_arch = "x86_64")) {
            command.env("ETCD_UNSUPPORTED_ARCH", "arm64");
        }
        command.args(&self.arguments).stdin(Stdio::null());
        command.stdout(log.try_clone()?).stderr(log);
        if let Some(namespace) = &self.gateway.namespace {
            namespace.enter(&mut command);
        }
        children::spawn(command).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => io::Error::new(
                error.kind(),
                "etcd is not installed: apt-get install etcd-server",
            ),
            _ => error,
        })
    }
}

fn name(index: usize) -> String {
    format!("etcd-{index}")
}

fn tls_arguments(tls: &Tls, name: &str, at: Addresses) -> io::Result<Vec<String>> {
    let host = at.clients.ip().to_string();
    let files = tls.authority.server(name, &[host], tls.flaw)?;
    let mut arguments = vec![
        format!("--cert-file={}", files.certificate.display()),
        format!("--key-file={}", files.key.display()),
    ];
    if let Some(authority) = &tls.clients {
        arguments.push("--client-cert-auth".to_owned());
        arguments.push(format!("--trusted-ca-file={}", authority.file().display()));
    }
    Ok(arguments)
}

/// A server of the cluster, running or not. Killed when dropped.
#[derive(Debug)]
pub struct Member {
    plan: Plan,
    child: Child,
}

impl Member {
    pub(crate) fn start(plan: Plan) -> io::Result<Self> {
        let child = plan.spawn()?;
        Ok(Self { plan, child })
    }

    /// Where clients find it.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.plan.endpoint
    }

    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it on the spot, as a machine that loses its power, but for the disk.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn kill(&mut self) -> io::Result<()> {
        self.child.kill()?;
        self.child.wait().map(drop)
    }

    /// Stops it in its tracks (`SIGSTOP`), until [`Member::resume`].
    ///
    /// # Errors
    /// It runs no more.
    pub fn pause(&mut self) -> io::Result<()> {
        self.signal(Signal::SIGSTOP)
    }

    /// # Errors
    /// It runs no more.
    pub fn resume(&mut self) -> io::Result<()> {
        self.signal(Signal::SIGCONT)
    }

    fn signal(&mut self, signal: Signal) -> io::Result<()> {
        // The number of one that is reaped may be another program's.
        if self.has_ended() {
            let endpoint = self.endpoint();
            return Err(io::Error::other(format!("etcd at {endpoint} does not run")));
        }
        let pid = i32::try_from(self.pid()).map_err(io::Error::other)?;
        kill(Pid::from_raw(pid), signal).map_err(io::Error::from)
    }

    /// Starts it again on the same data and addresses, and waits until it answers. One that runs is killed first.
    ///
    /// # Errors
    /// It does not answer within 30 s; with the end of its log.
    pub fn restart(&mut self) -> io::Result<()> {
        self.kill()?;
        self.child = self.plan.spawn()?;
        let up = until(READY_WITHIN_MS, || {
            self.has_ended() || self.status().is_ok()
        });
        if up && !self.has_ended() {
            return Ok(());
        }
        let (endpoint, log) = (self.endpoint(), self.log());
        Err(io::Error::other(format!(
            "etcd at {endpoint} does not come back:\n{log}"
        )))
    }

    /// Whether its process is gone.
    pub fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// What it says about itself, alone: it need not have a quorum, and is not told who asks.
    ///
    /// # Errors
    /// It does not answer.
    pub fn status(&self) -> io::Result<Status> {
        self.status_within(STATUS_WITHIN)
    }

    /// The same with a limit of the caller's, for a member that is paused.
    ///
    /// # Errors
    /// It does not answer in time.
    pub fn status_within(&self, within: Duration) -> io::Result<Status> {
        self.plan.gateway.status(within)
    }

    pub(crate) fn ask(&self, path: &str, token: Option<&str>, body: &Value) -> io::Result<Value> {
        self.plan.gateway.ask(path, token, body)
    }

    /// The end of its log.
    #[must_use]
    pub fn log(&self) -> String {
        let log = std::fs::read_to_string(&self.plan.log).unwrap_or_default();
        last_lines(&log, LOG_LINES)
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        // One that ended by itself is no trouble.
        let _ = self.kill();
        if std::thread::panicking() {
            let log = self.log();
            let told = log
                .lines()
                .filter(|line| !line.contains(r#""level":"info""#));
            let told: Vec<_> = told.collect();
            eprintln!("etcd at {} warns:\n{}", self.endpoint(), told.join("\n"));
        }
    }
}
