//! The model as the checker wants it, and what it has found.

use crate::action::Action;
use crate::bound::Bound;
use crate::judge::{Broken, Rule};
use crate::mistake::Mistake;
use crate::world::World;
use stateright::{Checker, HasDiscoveries, Model, Path, Property};
use std::fmt;
use std::time::{Duration, Instant};
use validator_supervisor::engine::values::Role;
use validator_supervisor::engine::{Engine, Reason};

#[derive(Debug)]
pub(crate) struct Protocol {
    bound: Bound,
    start: World,
}

/// What a run has found.
#[derive(Debug)]
pub(crate) struct Found {
    bound: Bound,
    states: usize,
    depth: usize,
    took: Duration,
    pub(crate) broken: Option<Broken>,
    trace: Vec<String>,
    /// Another node has voted somewhere.
    pub(crate) reached: bool,
}

impl Protocol {
    /// A holds the term and has sent a vote; the others stand by.
    pub(crate) fn new(bound: Bound, mistake: Option<Mistake>) -> Self {
        let mut start = World::new(bound.nodes);
        start.boot(0);
        start.run_on(&bound, |world| world.role(0) == Some(Role::Active));
        for node in 1..bound.nodes {
            start.boot(node);
        }
        start.run_on(&bound, |_| false);
        start.mistake = mistake;
        assert_eq!(start.broken, None, "the run-up");
        Self { bound, start }
    }

    /// Looks at every state within the bound, or stops soon after the first that breaks a rule. The trace to it is the shortest.
    pub(crate) fn explore(self) -> Found {
        let (bound, begun) = (self.bound, Instant::now());
        let until = HasDiscoveries::AnyFailures;
        // With one thread the first trace is the shortest.
        let threads = if self.start.mistake.is_some() { 1 } else { 2 };
        let builder = self.checker().finish_when(until).threads(threads);
        let checker = builder.spawn_bfs().join();
        let steps = checker
            .discovery(SAFE)
            .map(Path::into_vec)
            .unwrap_or_default();
        let broken = steps.last().and_then(|(world, _)| world.broken.clone());
        let actions = steps.into_iter().filter_map(|(_, action)| action);
        Found {
            bound,
            states: checker.unique_state_count(),
            depth: checker.max_depth(),
            took: begun.elapsed(),
            broken,
            trace: actions.map(|action| action.to_string()).collect(),
            reached: checker.discoveries().contains_key(TAKEN_OVER),
        }
    }
}

const SAFE: &str = "no rule is broken";
const TAKEN_OVER: &str = "another node votes";

impl Model for Protocol {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![self.start.clone()]
    }

    fn actions(&self, world: &World, out: &mut Vec<Action>) {
        world.actions(&self.bound, out);
    }

    fn next_state(&self, last: &World, action: Action) -> Option<World> {
        let mut world = last.clone();
        world.act(&action);
        if world.broken.is_none() {
            world.judge_rest(&self.bound);
        }
        Some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(SAFE, |_: &Self, world: &World| world.broken.is_none()),
            Property::sometimes(TAKEN_OVER, |_: &Self, world: &World| {
                (1..world.nodes.len()).any(|node| world.role(node) == Some(Role::Active))
            }),
        ]
    }

    fn within_boundary(&self, world: &World) -> bool {
        world.net.len() <= self.bound.messages
    }
}

impl World {
    /// Lets everything happen that leads on, a vote only as the first one, until `enough` or until there is nothing.
    fn run_on(&mut self, bound: &Bound, enough: fn(&Self) -> bool) {
        let bound = Bound { votes: 0, ..*bound };
        while !enough(self) {
            let mut actions = Vec::new();
            self.progress(&bound, &mut actions);
            match actions.first() {
                Some(action) => self.act(&action.clone()),
                None => return,
            }
        }
    }

    /// It believes that nobody holds the term.
    fn seeks(&self, node: usize) -> bool {
        let deadline = self.engine(node).and_then(Engine::next_deadline);
        deadline.is_some_and(|(_, reason)| reason == Reason::Takeover)
    }

    /// Where nothing leads on by itself, exactly one node has to vote, unless a lease of a node that is away is still to end.
    fn judge_rest(&mut self, bound: &Bound) {
        if !self.net.is_empty() || self.settled() {
            return;
        }
        let mut actions = Vec::new();
        self.progress(bound, &mut actions);
        let away = |node: usize| !self.nodes[node].is_up();
        let waits = self.store.holder.is_some_and(|holding| {
            holding
                .lease
                .is_some_and(|lease| away(holding.node) || lease != self.lease_id(holding.node))
        });
        let someone = self.nodes.iter().any(|node| node.is_up());
        // Nobody will ever give this one back: its node tries to get it instead.
        let lost = self
            .store
            .holder
            .is_some_and(|holding| self.seeks(holding.node));
        if actions.is_empty() && someone && !waits && (lost || !self.out_of_moments()) {
            let roles =
                (0..self.nodes.len()).map(|node| self.role(node).map_or("down", Role::name));
            let roles = roles.collect::<Vec<_>>().join(", ");
            self.break_rule(Rule::I7, || {
                format!("nothing happens any more, and nobody votes: {roles}")
            });
        }
    }
}

impl Found {
    /// The shortest way to what is broken, step by step.
    pub(crate) fn trace(&self) -> String {
        let steps = self.trace.iter().enumerate();
        let lines = steps.map(|(at, step)| format!("  {:>2} {step}\n", at + 1));
        lines.collect()
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            bound,
            states,
            depth,
            took,
            ..
        } = self;
        write!(
            f,
            "{bound}: {states} states, depth {depth}, {:.1} s",
            took.as_secs_f32()
        )?;
        match &self.broken {
            Some(Broken { rule, how }) => write!(
                f,
                "; {rule:?} is broken after {} steps: {how}",
                self.trace.len()
            ),
            None => f.write_str("; nothing is broken"),
        }
    }
}
