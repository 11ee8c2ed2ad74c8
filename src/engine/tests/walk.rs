//! Random walks: every input is survived in every state, and every deadline makes progress.

use super::*;
use crate::engine::input::Exit;

struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

fn outcome(dice: &mut Dice) -> Outcome {
    let some_mark = Some(mark(dice.roll(9), dice.roll(50), dice.roll(50)));
    match dice.roll(12) {
        0 => Outcome::Refused("no".into()),
        1 => Outcome::Failed("unknown".into()),
        2 | 3 => Outcome::Held {
            term: Term(dice.roll(9) + 1),
            record: some_mark.filter(|_| dice.roll(2) == 0),
        },
        4 | 5 => Outcome::Durable(some_mark.filter(|_| dice.roll(3) > 0)),
        _ => Outcome::Done,
    }
}

fn fitting_outcome(dice: &mut Dice, engine: &Engine) -> Outcome {
    let doing = engine.explain(Millis(0)).doing;
    match doing {
        "acquiring the term" | "taking the term up again" => Outcome::Held {
            term: Term(dice.roll(9) + 1),
            record: None,
        },
        "installing the record" => Outcome::Durable(Some(mark(9, 60, 60))),
        _ => Outcome::Done,
    }
}

fn observation(dice: &mut Dice) -> Observation {
    match dice.roll(8) {
        0 => Observation::OwnSilent,
        1 => Observation::ChainVote {
            slot: dice.roll(60),
        },
        2 => Observation::IdentityElsewhere,
        3 => Observation::Cluster {
            asked: 3,
            advancing: dice.roll(4) as u32,
            failed: dice.roll(4) as u32,
            own_advancing: dice.roll(2) == 0,
        },
        4 => Observation::Peer(PeerFacts {
            active_term: Some(Term(dice.roll(9))).filter(|_| dice.roll(4) == 0),
            asks: (dice.roll(4) == 0).then(|| Plea {
                restarts: dice.roll(2) == 0,
                at_once: dice.roll(2) == 0,
            }),
            behind: Some(dice.roll(12)).filter(|_| dice.roll(4) > 0),
            ..peer("b", dice.roll(2) == 0)
        }),
        5 => Observation::Leads(match dice.roll(3) {
            0 => Leads::Unknown,
            1 => Leads::Never,
            _ => Leads::At(dice.roll(1_000)),
        }),
        _ => Observation::Own {
            healthy: dice.roll(8) > 0,
            slot: dice.roll(1_000),
            behind: Some(dice.roll(6)),
        },
    }
}

fn news(dice: &mut Dice, now: Millis) -> AuthorityNews {
    match dice.roll(8) {
        0 => AuthorityNews::TermLost(Term(dice.roll(9) + 1)),
        1 => AuthorityNews::Passed {
            term: Term(dice.roll(9) + 1),
            from: name("b"),
        },
        2 => AuthorityNews::Holder(Some(name("b"))),
        3 => AuthorityNews::Holder(Some(name("a"))),
        4 => AuthorityNews::Holder(None),
        _ => AuthorityNews::Lease {
            term: Term(dice.roll(9) + 1),
            until: now.plus(dice.roll(8_000)),
        },
    }
}

fn command(dice: &mut Dice, now: Millis) -> Command {
    match dice.roll(10) {
        0 | 1 => Command::Demote {
            at_once: dice.roll(2) == 0,
        },
        2 => PROMOTE,
        3 | 4 => FIRST_VOTE,
        5 => Command::Handover {
            to: None,
            at_once: dice.roll(2) == 0,
        },
        6 => Command::Restart {
            at_once: dice.roll(2) == 0,
        },
        8 => Command::Relieve {
            at_once: dice.roll(2) == 0,
        },
        7 => Command::Pause {
            until: now.plus(dice.roll(3_000)),
        },
        _ => Command::Resume,
    }
}

fn any_input(dice: &mut Dice, rig: &Rig) -> Input {
    match dice.roll(40) {
        0 => Input::ChildExited(Exit::Code(1)),
        1 => Input::Begin,
        2 if dice.roll(10) == 0 => Input::Stop,
        3 => Input::Forgotten(RequestId(dice.roll(50))),
        4 => Input::Reconfigured(Box::new(setup(rig.engine.setup.authority.alone))),
        5..=7 => Input::SwitchMarker(RecordKind::Tower),
        8..=10 => Input::ChildReady,
        11..=13 => Input::Gate(GateFacts {
            last: rig
                .engine
                .term()
                .map(|term| mark(term.0, dice.roll(60), dice.roll(60))),
            waiting: 0,
        }),
        14 | 15 => Input::Authority(news(dice, rig.now)),
        16..=20 => Input::Observed(observation(dice)),
        21 | 22 => Input::Asked(RequestId(dice.roll(50)), command(dice, rig.now)),
        23 | 24 => Input::Done(
            rig.op.unwrap_or(OpId {
                term: Term(0),
                seq: 0,
            }),
            outcome(dice),
        ),
        25 => Input::Done(
            OpId {
                term: Term(dice.roll(9)),
                seq: dice.roll(40),
            },
            outcome(dice),
        ),
        _ => match rig.engine.pending {
            Some(op) => Input::Done(op, fitting_outcome(dice, &rig.engine)),
            None => Input::Tick,
        },
    }
}

#[test]
fn every_input_in_every_reachable_state_is_survived_and_check_holds() {
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..600 {
        let mut dice = Dice(seed * 7_919 + 1);
        let alone = seed % 3 == 0;
        let mut rig = Rig::with(
            setup(alone),
            Memory {
                parked: seed % 7 == 0,
                holds: seed % 2 == 0,
            },
        );
        rig.feed(Input::Begin);
        for _ in 0..300 {
            if dice.roll(3) == 0 {
                rig.now = rig.now.plus(dice.roll(400));
            }
            let input = any_input(&mut dice, &rig);
            rig.feed(input.clone());
            seen.insert((
                rig.engine.role(),
                std::mem::discriminant(&input) == std::mem::discriminant(&Input::Tick),
            ));
            deadlines_make_progress(&mut rig, seed, &input);
        }
    }
    let roles: std::collections::BTreeSet<Role> = seen.into_iter().map(|(role, _)| role).collect();
    assert_eq!(
        roles.len(),
        Role::ALL.len(),
        "the walk reached only {roles:?}"
    );
}

fn deadlines_make_progress(rig: &mut Rig, seed: u64, after: &Input) {
    for _ in 0..6 {
        if rig
            .engine
            .next_deadline()
            .is_none_or(|(at, _)| at > rig.now)
        {
            return;
        }
        rig.feed(Input::Tick);
    }
    panic!(
        "seed {seed}: after {after:?} the engine wants to be woken at once, again and again: {:?}",
        rig.engine
    );
}
