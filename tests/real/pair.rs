//! Two supervised nodes with one staked identity, on a cluster on hosts, with three etcd: what the story of `failover` is told with.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::etcd::{Etcd, Options};
use validator_supervisor::pki;

use crate::admin;
use crate::chain::Chain;
use crate::cluster::Cluster;
use crate::genesis::Protocol;
use crate::process::Process;
use crate::score::{Moment, Score};
use crate::supervisor::Supervisor;
use crate::until::until;

pub(crate) const VOTES_WITHIN: Duration = Duration::from_secs(120);
const CATCHES_UP_WITHIN: Duration = Duration::from_secs(180);
/// From the trouble to the other node's votes: many times what it takes, as the machine is at its limit.
const TAKES_OVER_WITHIN: Duration = Duration::from_secs(60);
/// Nearer to the tip than a supervisor asks for by default, so that one trouble does not tell in the next.
const CAUGHT_UP_SLOTS: u64 = 4;
/// Slots for which votes have to go on before a trouble counts as over.
pub(crate) const SETTLED_SLOTS: u64 = 8;
/// Of the link between the two, each on its host.
const PEER_PORT: u16 = 7400;
/// After which a silent connection is closed (`QUIC_MAX_TIMEOUT` of solana-streamer), and the time to notice.
const CONNECTION_IDLE: Duration = Duration::from_secs(33);

/// The fields are dropped in this order: the nodes before what they stand on.
pub(crate) struct Pair<'a> {
    pub(crate) supervisors: Vec<Process>,
    nodes: [Supervisor<'a>; 2],
    pub(crate) etcd: Etcd,
    pub(crate) score: Score,
    pub(crate) chain: Chain,
    pub(crate) cluster: &'a Cluster,
    started: Instant,
    pub(crate) active: usize,
}

impl<'a> Pair<'a> {
    pub(crate) fn new(cluster: &'a Cluster) -> Self {
        let options = Options {
            members: 3,
            places: vec![cluster.network().host("etcd").place(); 3],
            ..Options::default()
        };
        let etcd = Etcd::start(&options).expect("three etcd");
        let nodes = ["a", "b"].map(|name| Supervisor::new(cluster, name));
        for node in &nodes {
            node.configure(&format!(
                "[cluster]\nrpc = {:?}\n[authority.etcd]\nendpoints = {:?}\n",
                cluster.rpc_urls(),
                etcd.endpoints()
            ));
        }
        Self {
            supervisors: Vec::new(),
            nodes,
            etcd,
            score: Score::start(cluster),
            chain: cluster.chain(),
            cluster,
            started: Instant::now(),
            active: 0,
        }
    }

    pub(crate) fn say(&self, what: &str) {
        println!(
            "{:?} {:6.1} s: {what}",
            self.cluster.protocol,
            self.started.elapsed().as_secs_f64()
        );
    }

    pub(crate) fn active(&self) -> &Supervisor<'a> {
        &self.nodes[self.active]
    }

    pub(crate) fn standby(&self) -> &Supervisor<'a> {
        &self.nodes[1 - self.active]
    }

    /// Waits until the node that does not vote stands by, and follows the chain as the bootstrap sees it. That of its role alone
    /// could be a word from before it was healed.
    #[track_caller]
    pub(crate) fn await_standby(&self) {
        let what = format!("{} stands by, caught up", self.standby().node.name);
        until(&what, CATCHES_UP_WITHIN, || {
            let status = self.standby().status()?;
            let (slot, tip) = (
                status["validator"]["slot"].as_u64()?,
                self.chain.slot().ok()?,
            );
            (status["role"] == "standby" && slot + CAUGHT_UP_SLOTS >= tip).then_some(())
        });
    }

    /// Alpenglow: a validator takes two connections of an identity and no third, and forgets one that nobody closed after 30 s. So
    /// the votes of a node that takes over are refused while two before it have gone without a word: here, one trouble after the
    /// other would do it.
    pub(crate) fn let_connections_expire(&self, begun: Moment) {
        if self.cluster.protocol == Protocol::Alpenglow {
            until("the connections have expired", 2 * CONNECTION_IDLE, || {
                (begun.at.elapsed() > CONNECTION_IDLE).then_some(())
            });
        }
    }

    /// Waits until the standby has taken over and votes. One that is behind votes late, for slots that count all the same.
    #[track_caller]
    pub(crate) fn await_takeover(&mut self) {
        let slot = status(self.standby())["validator"]["slot"].as_u64();
        let tip = self.chain.slot().expect("the bootstrap answers");
        self.active = 1 - self.active;
        let name = self.active().node.name.clone();
        let behind = slot.map_or("unknown".to_owned(), |slot| {
            tip.saturating_sub(slot).to_string()
        });
        self.say(&format!("{name} is to take over; slots behind: {behind}"));
        until(&format!("{name} takes over"), TAKES_OVER_WITHIN, || {
            self.active()
                .status()
                .filter(|status| status["role"] == "active")
        });
        self.await_votes();
    }

    /// Ends both supervisors, the one that votes last.
    pub(crate) fn stop(&mut self) {
        for at in [1 - self.active, self.active] {
            self.supervisors[at].signal(libc::SIGTERM);
            self.supervisors[at].wait(VOTES_WITHIN);
        }
    }

    /// Stops both, and starts them again with nothing but each other. The one that voted last goes on from its validator's record.
    pub(crate) fn become_peers(&mut self) {
        self.stop();
        let pki = self.nodes[0].dir().join("pki");
        std::fs::create_dir(&pki).expect("a directory");
        pki::init(&pki).expect("an authority");
        let host = |node: &Supervisor<'_>| {
            let host = self.cluster.network().host(&node.node.name);
            host.place().address.to_string()
        };
        let listed: Vec<String> = self
            .nodes
            .iter()
            .map(|node| {
                let (name, host) = (&node.node.name, host(node));
                format!("{{ name = {name:?}, address = \"{host}:{PEER_PORT}\" }}")
            })
            .collect();
        for node in &self.nodes {
            let (name, host) = (&node.node.name, host(node));
            let [cert, key] =
                pki::add(&pki, name, std::slice::from_ref(&host), false).expect("a certificate");
            node.configure(&format!(
                "[cluster]\nrpc = {:?}\n[peer]\nlisten = \"{host}:{PEER_PORT}\"\nca = {:?}\ncert = {cert:?}\nkey = {key:?}\nnodes = [{}]\n",
                self.cluster.rpc_urls(),
                pki.join("ca.pem"),
                listed.join(", ")
            ));
        }
        let start = |node: &Supervisor<'_>| node.start(&node.node.argv());
        self.supervisors = self.nodes.iter().map(start).collect();
        self.nodes
            .iter()
            .for_each(|node| node.await_role("standby"));
        // Just started, it calls itself healthy before it follows.
        until(
            "the one that is to vote is at the tip",
            CATCHES_UP_WITHIN,
            || {
                let slot = self.active().status()?["validator"]["slot"].as_u64()?;
                (slot + CAUGHT_UP_SLOTS >= self.chain.slot().ok()?).then_some(())
            },
        );
        until(
            "promoted, with the other one as its peer",
            VOTES_WITHIN,
            || self.active().may(&["promote"]).ok(),
        );
        self.await_votes();
        self.await_standby();
        let name = &self.active().node.name;
        self.say(&format!(
            "without etcd, as peers: {name} votes, the other one stands by"
        ));
    }

    #[track_caller]
    pub(crate) fn await_votes(&self) {
        let now = self.score.now().slot;
        self.chain
            .wait_until_our_vote_at_or_after(now + SETTLED_SLOTS, VOTES_WITHIN);
    }

    /// Says what the trouble since `begun` has cost.
    pub(crate) fn tell(&mut self, begun: Moment, what: &str) {
        let count = self.score.count_since(begun);
        assert_eq!(status(self.active())["role"], "active", "another one votes");
        let voter = &self.active().node.name;
        self.say(&format!("{what}; {voter} votes; {count}"));
    }

    pub(crate) fn start_voting(&mut self) {
        let start = |node: &Supervisor<'_>| node.start(&node.node.argv());
        self.supervisors = self.nodes.iter().map(start).collect();
        self.nodes
            .iter()
            .for_each(|node| node.await_role("standby"));
        self.say("both stand by");
        // While there is no record, each has the term for a moment now and then, to look for one.
        until("a is promoted", VOTES_WITHIN, || {
            self.active().may(&["promote", "--first-vote"]).ok()
        });
        self.await_votes();
        self.await_standby();
        self.say("a is promoted and votes, b stands by");
    }

    /// Waits until the active node, whatever it can reach, carries the staked identity no longer: not in its validator, and not
    /// at its next start.
    pub(crate) fn await_left(&self, begun: Moment) -> Duration {
        let node = &self.active().node;
        until(
            "the active node is off the staked identity",
            TAKES_OVER_WITHIN,
            || {
                let carried = admin::call(node.ledger(), "contactInfo", json!([]));
                let link = std::fs::read_link(node.identity_link()).ok()?;
                let carries = carried.is_ok_and(|info| info["id"] == node.staked.pubkey.as_str());
                (!carries && link == node.unstaked.path).then(|| begun.at.elapsed())
            },
        )
    }

    /// Waits until either node is active, and takes it for the active one.
    #[track_caller]
    pub(crate) fn await_any_active(&mut self) {
        self.active = until("one of the two is active", VOTES_WITHIN, || {
            let is_active = |node: &Supervisor<'_>| {
                node.status()
                    .is_some_and(|status| status["role"] == "active")
            };
            self.nodes.iter().position(is_active)
        });
    }

    pub(crate) fn pause_etcd(&mut self) {
        (0..3).for_each(|member| self.etcd.member(member).pause().expect("stop an etcd"));
    }

    pub(crate) fn resume_etcd(&mut self) {
        (0..3).for_each(|member| self.etcd.member(member).resume().expect("continue an etcd"));
    }
}

pub(crate) fn status(node: &Supervisor<'_>) -> Value {
    node.status().expect("a status")
}

/// What its gate has let out so far, and the last slot in the validator's own record.
pub(crate) fn votes_of(node: &Supervisor<'_>) -> (Value, Option<u64>) {
    let commits = status(node)["gate"]["commits"].clone();
    (commits, node.node.last_recorded_slot())
}

/// The process of its validator, while one runs.
pub(crate) fn validator_of(node: &Supervisor<'_>) -> Option<libc::pid_t> {
    let pid = status(node)["validator"]["pid"].as_i64()?;
    libc::pid_t::try_from(pid).ok()
}
