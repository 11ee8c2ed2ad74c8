//! What a whole supervisor says to its peer, from the first word to the handing over of its term: no secret is in it.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::json;
use testkit::chain::{Chain, ChainSpec};
use testkit::keys;
use testkit::node::Node;
use testkit::stand_in::{Protocol, StandIn, until};

use crate::node::{SOON_MS, Set};
use crate::rogue::{ASK, COMMIT, KEPT, RECORD, Rogue, STATE, claim, framed, promise, state_of};

const SLOT_MS: u64 = 50;
/// As many bytes of a secret as nothing else has by chance.
const PIECE: usize = 8;

/// `b`, whose only peer is one made by hand.
fn supervisor(set: &Set, dir: &Path, chain: &Chain) -> Node {
    let staked = keys::from_seed("the staked identity");
    let vote_account = keys::address_from_seed("the vote account");
    let addr = chain.addr();
    let stand_in = StandIn::new(dir, "b", addr, Protocol::Tower, &vote_account, &staked);
    let program = env!("CARGO_BIN_EXE_supervisor").into();
    let node = Node::new(stand_in.expect("a stand-in"), program, None).expect("a node");
    let config = set.config("b");
    let nodes = config.nodes.iter();
    let nodes: Vec<String> = nodes
        .map(|node| format!("{{ name = {:?}, address = {:?} }}", node.name, node.address))
        .collect();
    node.configure(&format!(
        "[peer]\nlisten = \"{}\"\nca = {:?}\ncert = {:?}\nkey = {:?}\nnodes = [{}]\n",
        config.listen,
        config.ca,
        config.cert,
        config.key,
        nodes.join(", ")
    ));
    node
}

/// A peer as `b` wishes for one: it promises, keeps, and takes what it is given; once it asks for a rehearsal of a handover.
fn is_a_good_peer(a: &mut Rogue, is_over: &AtomicBool) {
    let member = json!({ "role": "standby", "ready": true, "drill": 7 });
    while !is_over.load(Ordering::Acquire) && a.receives() {
        while let Some((kind, said)) = a.next() {
            match kind {
                ASK => {
                    let term = said["term"].as_u64().expect("a term");
                    a.sends(&promise(term));
                    a.says(&state_of(&claim(term, Some("b"), false, None), &member));
                }
                COMMIT | RECORD => a.sends(&framed(KEPT, &said)),
                STATE if said["asks"] == true => {
                    let claim = &said["claim"];
                    let word = json!({ "claim": claim, "member": member, "answers": true });
                    a.says(&framed(STATE, &word));
                }
                _ => {}
            }
        }
    }
}

fn has(said: &[u8], piece: &[u8]) -> bool {
    said.windows(piece.len()).any(|window| window == piece)
}

/// What of this secret is in it.
fn shown(said: &[u8], secret: &[u8]) -> Option<Vec<u8>> {
    let mut pieces = secret.windows(PIECE);
    pieces.find(|piece| has(said, piece)).map(<[u8]>::to_vec)
}

#[test]
fn no_secret_is_in_anything_that_a_supervisor_says_to_its_peer() {
    let set = Set::new(&["a", "b"]);
    let staked = keys::from_seed("the staked identity");
    let identity = keys::address(&staked);
    let vote_account = keys::address_from_seed("the vote account");
    let spec = ChainSpec::new(SLOT_MS).vote_account(&vote_account, &identity);
    let chain = Chain::start(spec).expect("a chain");
    let dir = tempfile::tempdir().expect("a directory");
    let mut b = supervisor(&set, dir.path(), &chain);
    b.start();
    b.await_role("standby");
    let mut a = Rogue::meets_as(&set, "a", "b", &identity);
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let peer = scope.spawn(|| is_a_good_peer(&mut a, &is_over));
        let votes = until(SOON_MS, || {
            let _ = b.ctl(&["promote", "--first-vote"]);
            chain.wait(SLOT_MS, |votes| votes.len() >= 5)
        });
        if votes {
            b.must(&["status"]);
            b.must(&["demote", "--no-wait"]);
            b.await_role("parked");
        }
        is_over.store(true, Ordering::Release);
        peer.join().expect("a peer");
        assert!(votes, "no votes\n{}", b.log());
    });
    b.kill();
    while a.receives() && a.next().is_some() {}
    let said = a.heard.as_slice();
    for word in ["\"active_term\":", "\"rehearsal\":{", "\"hands_over\":true"] {
        assert!(has(said, word.as_bytes()), "it has not come to {word}");
    }

    let link_key = PrivateKeyDer::from_pem_file(set.file("b-key.pem")).expect("the link's key");
    let pem = std::fs::read_to_string(set.file("b-key.pem")).expect("the link's key");
    let lines = pem.lines().filter(|line| !line.starts_with("-----"));
    let mut secrets = vec![
        ("the link's key", link_key.secret_der().to_vec()),
        ("the link's key in PEM", lines.collect::<String>().into()),
    ];
    let seeds = ["staked.json", "unstaked.json"].map(|name| {
        let key = keys::read(&b.path(name)).expect("a keypair");
        (name, key.to_bytes().to_vec())
    });
    secrets.extend(seeds);
    for (what, secret) in &secrets {
        assert_eq!(shown(said, secret), None, "{what}");
        // It would be found.
        let end = &secret[secret.len() - PIECE..];
        assert_eq!(shown(&[said, end].concat(), secret).as_deref(), Some(end));
    }
    let text = String::from_utf8_lossy(said).to_lowercase();
    for name in ["staked.json", "unstaked.json"] {
        for (what, secret) in keys::shapes_of_secret(&b.path(name)) {
            assert!(!text.contains(&secret.to_lowercase()), "{what}");
        }
    }
}
