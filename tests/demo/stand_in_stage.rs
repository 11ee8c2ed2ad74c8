//! The stage without a real validator: a stand-in that stores, renames and then sends its votes to a chain that judges them.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use testkit::chain::{Chain, ChainSpec};
use testkit::judge;
use testkit::keys;
use testkit::stand_in::{Protocol, StandIn, binary};
use testkit::wire::now_us;

use crate::narrator::Narrator;
use crate::stage::{Cast, Failure, Stage};

/// Half of a real one, so that the story is over within a minute.
const SLOT_MS: u64 = 200;
const NODE: &str = "a";

pub(crate) struct StandInStage {
    dir: PathBuf,
    chain: Chain,
    node: StandIn,
    program: PathBuf,
    identity: String,
    /// Since when no vote may be sent.
    barred_us: Option<u64>,
}

impl StandInStage {
    pub(crate) fn set_up(dir: &Path, narrator: &mut Narrator) -> Result<Self, Failure> {
        narrator.title(&[
            (
                "validator",
                &format!(
                    "a stand-in that stores, renames, then sends ({})",
                    why_no_real_one()
                ),
            ),
            (
                "cluster",
                "a chain of 200 ms slots on 127.0.0.1 that receives and judges every vote sent",
            ),
            (
                "authority",
                "local: the vote's record is on this disk before the vote leaves",
            ),
        ]);
        let staked = keys::from_seed("the staked identity of the demo");
        let identity = keys::address(&staked);
        let vote_account = keys::address_from_seed("the vote account of the demo");
        let chain = Chain::start(ChainSpec::new(SLOT_MS).vote_account(&vote_account, &identity))?;
        let mut node = StandIn::new(
            dir,
            NODE,
            chain.addr(),
            Protocol::Tower,
            &vote_account,
            &staked,
        )?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        node.more = vec!["--rpc-port".into(), port.to_string()];
        Ok(Self {
            dir: dir.to_owned(),
            chain,
            node,
            program: binary()?,
            identity,
            barred_us: None,
        })
    }
}

impl Stage for StandInStage {
    fn cast(&self) -> Cast {
        let mut argv = vec![self.program.clone().into()];
        argv.extend(self.node.args().into_iter().map(Into::into));
        Cast {
            argv,
            env: Vec::new(),
            staked: self.dir.join("staked.json"),
            unstaked: self.dir.join("unstaked.json"),
            identity: self.identity.clone(),
            spare: keys::address(&self.node.unstaked),
        }
    }

    fn dir(&self) -> &Path {
        &self.dir
    }

    fn up_within(&self) -> Duration {
        Duration::from_secs(30)
    }

    fn watched_slots(&self) -> u64 {
        20
    }

    fn slot(&self) -> Result<u64, Failure> {
        Ok(self.chain.slot())
    }

    fn newest_vote(&self) -> Result<u64, Failure> {
        Ok(self
            .chain
            .votes()
            .last()
            .map_or(0, |vote| vote.content.slot()))
    }

    fn bar(&mut self) -> Result<(), Failure> {
        self.barred_us = Some(now_us());
        self.chain.demoted(&self.identity, None);
        Ok(())
    }

    fn allow(&mut self) -> Result<(), Failure> {
        self.barred_us = None;
        self.chain.promoted(&self.identity, NODE);
        Ok(())
    }

    fn offence(&self) -> Result<Option<String>, Failure> {
        let votes = self.chain.votes();
        let sent = votes
            .iter()
            .rev()
            .find(|vote| self.barred_us.is_some_and(|since| vote.sent_us > since));
        Ok(sent.map(|vote| {
            format!(
                "a vote for slot {} was sent where none was allowed",
                vote.content.slot()
            )
        }))
    }

    fn verdict(&mut self) -> Result<String, Failure> {
        match self.chain.verdict() {
            Ok(summary) => Ok(format!("The judge is content: {summary}.")),
            Err(findings) => Err(Failure(format!(
                "the judge has {}",
                judge::report(&findings)
            ))),
        }
    }
}

fn why_no_real_one() -> &'static str {
    if std::env::var_os("SUPERVISOR_DEMO").is_some_and(|asked| asked == "stand-in") {
        "as asked for"
    } else {
        "no agave-validator 4.2 on PATH or in the cache of `make test-real`"
    }
}
