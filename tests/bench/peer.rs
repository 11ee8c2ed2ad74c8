//! What authority `peer` costs: a gated vote, which is on two disks when it leaves, against a bare round trip over TLS of the same
//! bytes that the other side writes and syncs. All on loopback.
//!
//! Two nodes have two disks, and the one of the node that votes is done first. Here it is memory, as the validator's is. What it
//! costs where both share one, which syncs for them in turn, is measured beside it.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned,
};
use testkit::node::free_port;
use testkit::stand_in::until;
use validator_supervisor::authority::Authority;
use validator_supervisor::authority::news::Surroundings;
use validator_supervisor::authority::peer::Peer;
use validator_supervisor::config::{OnLoss, PeerConfig, PeerNode};
use validator_supervisor::engine::values::{Millis, NodeName};
use validator_supervisor::pki;

use crate::AnyError;
use crate::gated::Gated;
use crate::samples::Samples;
use crate::table::{Table, show};
use crate::votes::{REST, TellingKeeper, Votes, WARM_UP};

const VOTES: usize = 1_000;
const P50_BUDGET: f64 = 1.5;
/// The design gives no p99 for authority peer; that of etcd is taken.
const P99_BUDGET: f64 = 1.5;
const NAMES: [&str; 2] = ["a", "b"];
const HOST: &str = "127.0.0.1";
const MET_WITHIN_MS: u64 = 10_000;
const WITHIN: Duration = Duration::from_secs(5);
/// The newest slot of the cluster.
const TIP: u64 = 1_000_000;

pub(crate) fn measure(dir: &Path, table: &mut Table) -> Result<(), AnyError> {
    let memory = Path::new("/dev/shm");
    let apart = tempfile::tempdir_in(if memory.is_dir() { memory } else { dir })?;
    let figures = Pair::start(dir, apart.path())?.measure()?;
    for (name, percent, budget) in [("p50", 50, P50_BUDGET), ("p99", 99, P99_BUDGET)] {
        table.ratio(
            &format!("gated vote, authority peer, {name}"),
            figures.gated.quantile(percent),
            figures.bare.quantile(percent),
            budget,
        );
    }
    table.aside(&format!(
        "against a round trip over TLS and one fsync; {} of each in turns; of it between its arrival at the gate and the answer: p50 {}",
        figures.gated.len(),
        show(figures.inside)
    ));
    let shared = dir.join("shared");
    std::fs::create_dir(&shared)?;
    let figures = Pair::start(&shared, &shared)?.measure()?;
    let (gated, whole) = (figures.gated.median(), figures.whole.median());
    table.aside(&format!(
        "where both nodes share the disk: p50 {}; the round trip with a sync on both sides and a validator's rename: {}, so the gate makes it {:.2} x",
        show(gated),
        show(whole),
        gated.as_secs_f64() / whole.as_secs_f64()
    ));
    Ok(())
}

#[derive(Default)]
struct Figures {
    gated: Samples,
    bare: Samples,
    whole: Samples,
    /// Of a gated vote, between its arrival at the gate and the answer, median.
    inside: Duration,
}

/// Two nodes, the gate of the one that holds the term, and what it is compared with.
struct Pair {
    gated: Gated,
    bare: Bare,
    /// Told when the holder is done with a vote.
    settled: Receiver<()>,
    /// Of all that is measured: what one leaves to the disk, the next one must not pay for.
    directories: Vec<File>,
    _other: Peer,
}

impl Pair {
    /// Keys and the other node go to `dir`, the holder and its validator to `own`.
    fn start(dir: &Path, own: &Path) -> Result<Self, AnyError> {
        pki::init(dir)?;
        let ports = [free_port()?, free_port()?];
        let mut nodes = Vec::new();
        for (name, port) in NAMES.iter().zip(ports) {
            pki::add(dir, name, &[HOST.to_owned()], false)?;
            nodes.push(PeerNode {
                name: (*name).to_owned(),
                address: format!("{HOST}:{port}"),
            });
        }
        let bare = Bare::start(dir, own)?;
        let identity = bare.votes.key.verifying_key().to_bytes();
        let start = |at: usize, state_dir: PathBuf| -> Result<Peer, AnyError> {
            std::fs::create_dir(&state_dir)?;
            let config = PeerConfig {
                listen: format!("{HOST}:{}", ports[at]).parse()?,
                ca: dir.join("ca.pem"),
                cert: dir.join(format!("{}.pem", NAMES[at])),
                key: dir.join(format!("{}-key.pem", NAMES[at])),
                crl: None,
                on_loss: OnLoss::Hold,
                fence: None,
                nodes: nodes.clone(),
            };
            let surroundings = Surroundings {
                clock: || Millis(0),
                state_dir,
                tell: Box::new(|_| {}),
            };
            let node = NodeName(NAMES[at].to_owned());
            Ok(Peer::start(&config, identity, node, surroundings)?)
        };
        let (own_dir, other_dir) = (own.join("a"), dir.join("b"));
        let (holder, other) = (start(0, own_dir.clone())?, start(1, other_dir.clone())?);
        let mut term = None;
        let met = until(MET_WITHIN_MS, || {
            term = holder.acquire(WITHIN, false, TIP).ok();
            term.is_some()
        });
        let (term, _) = term.filter(|_| met).ok_or("the two nodes do not meet")?;
        let (done, settled) = sync_channel(1);
        let authority = Authority::Peer(Arc::new(holder));
        let keeper = Box::new(TellingKeeper { authority, done });
        let gated = Gated::start(&own_dir, identity, term, keeper)?;
        let directories = [own_dir.join("ledger"), own_dir, other_dir, dir.to_owned()];
        Ok(Self {
            gated,
            bare,
            settled,
            directories: directories
                .iter()
                .map(File::open)
                .collect::<Result<_, _>>()?,
            _other: other,
        })
    }

    fn measure(mut self) -> Result<Figures, AnyError> {
        let mut figures = Figures::default();
        for number in 0..WARM_UP + VOTES {
            for turn in 0..3 {
                for directory in &self.directories {
                    directory.sync_all()?;
                }
                std::thread::sleep(REST);
                let (samples, time) = match (number + turn) % 3 {
                    0 => {
                        let took = self.gated.vote()?;
                        self.settled.recv_timeout(WITHIN)?;
                        (&mut figures.gated, took)
                    }
                    1 => (&mut figures.bare, self.bare.once()?),
                    _ => (&mut figures.whole, self.bare.on_both_sides()?),
                };
                if number >= WARM_UP {
                    samples.add(time);
                }
            }
        }
        figures.inside = self.gated.end()?;
        Ok(figures)
    }
}

/// Sends votes to a thread that writes and syncs each, and answers with a byte.
struct Bare {
    votes: Votes,
    stream: StreamOwned<ClientConnection, TcpStream>,
    /// What this side writes itself, and where.
    own: File,
    dir: PathBuf,
}

impl Bare {
    fn start(dir: &Path, own: &Path) -> Result<Self, AnyError> {
        let chain = |name: &str| -> Result<Vec<_>, AnyError> {
            Ok(CertificateDer::pem_file_iter(dir.join(name))?.collect::<Result<_, _>>()?)
        };
        let key = |name: &str| PrivateKeyDer::from_pem_file(dir.join(name));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_no_client_auth()
            .with_single_cert(chain("b.pem")?, key("b-key.pem")?)?;
        let listener = TcpListener::bind((HOST, 0))?;
        let address = listener.local_addr()?;
        let file = File::create(dir.join("bare"))?;
        let connection = ServerConnection::new(Arc::new(server))?;
        std::thread::spawn(move || {
            // It ends with its client, whatever ends that.
            let _ = answer(&listener, connection, &file);
        });
        let mut roots = RootCertStore::empty();
        for root in chain("ca.pem")? {
            roots.add(root)?;
        }
        let client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connection = ClientConnection::new(Arc::new(client), ServerName::try_from(HOST)?)?;
        let socket = TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        Ok(Self {
            votes: Votes::new(),
            stream: StreamOwned::new(connection, socket),
            own: File::create(own.join("own"))?,
            dir: own.to_owned(),
        })
    }

    fn once(&mut self) -> Result<Duration, AnyError> {
        let bytes = self.votes.next();
        let from = Instant::now();
        self.send(&bytes)?;
        self.stream.read_exact(&mut [0])?;
        Ok(from.elapsed())
    }

    /// While the other side syncs, this one does; then the validator's record gets its name.
    fn on_both_sides(&mut self) -> Result<Duration, AnyError> {
        let bytes = self.votes.next();
        let fresh = self.dir.join("tower.new");
        std::fs::write(&fresh, &bytes)?;
        let from = Instant::now();
        self.send(&bytes)?;
        self.own.write_all_at(&bytes, 0)?;
        self.own.sync_data()?;
        self.stream.read_exact(&mut [0])?;
        std::fs::rename(&fresh, self.dir.join("tower"))?;
        Ok(from.elapsed())
    }

    fn send(&mut self, bytes: &[u8]) -> Result<(), AnyError> {
        let len = u32::try_from(bytes.len())?.to_be_bytes();
        self.stream.write_all(&[&len[..], bytes].concat())?;
        self.stream.flush()?;
        Ok(())
    }
}

fn answer(
    listener: &TcpListener,
    connection: ServerConnection,
    file: &File,
) -> Result<(), AnyError> {
    let (socket, _) = listener.accept()?;
    socket.set_nodelay(true)?;
    let mut stream = StreamOwned::new(connection, socket);
    loop {
        let mut len = [0; 4];
        stream.read_exact(&mut len)?;
        let mut bytes = vec![0; u32::from_be_bytes(len) as usize];
        stream.read_exact(&mut bytes)?;
        file.write_all_at(&bytes, 0)?;
        file.sync_data()?;
        stream.write_all(&[1])?;
        stream.flush()?;
    }
}
