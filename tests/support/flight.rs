//! The flight recorder of a supervisor, read as steps with their times.
//!
//! A line is `<wall> <ms> <input>`, the lines below it, indented, are the effects. An effect has ended when an input `Done` with its
//! number came.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// One effect from being asked for to its end, or a wait between two.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    pub name: String,
    /// On the supervisor's clock, in milliseconds; the same for all of one machine.
    pub from_ms: u64,
    pub to_ms: u64,
}

impl Step {
    #[must_use]
    pub fn took_ms(&self) -> u64 {
        self.to_ms.saturating_sub(self.from_ms)
    }
}

/// A recorder that is read on from where it was left.
#[derive(Debug)]
pub struct Flight {
    path: PathBuf,
    read: usize,
}

impl Flight {
    /// From its present end on.
    #[must_use]
    pub fn of(state_dir: &Path) -> Self {
        let path = state_dir.join("flight.log");
        let read = std::fs::read(&path).map_or(0, |bytes| bytes.len());
        Self { path, read }
    }

    /// The steps recorded since the last call. A file that was begun anew meanwhile is read from its beginning.
    pub fn steps(&mut self) -> Vec<Step> {
        let text = std::fs::read_to_string(&self.path).unwrap_or_default();
        let new = text.get(self.read..).unwrap_or(&text);
        let steps = steps(new);
        self.read = text.len();
        steps
    }
}

/// What a piece of a recorder tells, in the order of the ends.
fn steps(text: &str) -> Vec<Step> {
    let mut open: BTreeMap<u64, (String, u64)> = BTreeMap::new();
    let mut steps = Vec::new();
    let mut now_ms = 0;
    // Since when the voting thread's switch, or the first vote, is waited for.
    let mut waits: Option<(&str, u64)> = None;
    for line in text.lines() {
        if let Some(effect) = line.strip_prefix("    ") {
            if let (Some(name), Some(seq)) = (label(effect), number_after(effect, "seq: ")) {
                open.insert(seq, (name.to_owned(), now_ms));
            }
            let votes = effect.starts_with("Transition") && effect.contains("to: Active");
            if let Some((what, from_ms)) = waits.filter(|_| votes) {
                waits = None;
                steps.push(step(what, from_ms, now_ms));
            }
            continue;
        }
        let mut words = line.splitn(3, ' ');
        let Some((at, input)) = words.nth(1).zip(words.next()) else {
            continue;
        };
        now_ms = at.parse().unwrap_or(now_ms);
        if let Some((what, from_ms)) = waits.filter(|_| input.starts_with("SwitchMarker")) {
            waits = None;
            steps.push(step(what, from_ms, now_ms));
        }
        let seq = number_after(input, "seq: ").filter(|_| input.starts_with("Done("));
        if let Some((name, from_ms)) = seq.and_then(|seq| open.remove(&seq)) {
            waits = match name.as_str() {
                "identity on" => Some(("switch of the validator", now_ms)),
                "voters on" => Some(("link, and the first vote", now_ms)),
                _ => waits,
            };
            steps.push(step(&name, from_ms, now_ms));
        }
    }
    steps
}

fn step(name: &str, from_ms: u64, to_ms: u64) -> Step {
    Step {
        name: name.to_owned(),
        from_ms,
        to_ms,
    }
}

/// The word for an effect that takes time in a handover.
fn label(effect: &str) -> Option<&'static str> {
    let name = effect.split(' ').next()?;
    Some(match name {
        "Mute" => "mute",
        "SetIdentity" if effect.contains("to: Unstaked") => "identity off",
        "SetIdentity" => "identity on",
        "CloseGate" => "quiet at the gate",
        "PointLink" => "link",
        "PassTerm" => "pass the term",
        "Release" => "release the term",
        "Acquire" => "take the term",
        "InstallRecord" => "install the record",
        "OpenGate" => "open the gate",
        "Unmute" => "voters on",
        _ => return None,
    })
}

fn number_after(text: &str, before: &str) -> Option<u64> {
    let rest = text.split_once(before)?.1;
    let digits = rest.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}

/// The steps of several handovers, put together by name in the order in which they first ended: how long each took.
#[must_use]
pub fn by_name(steps: &[Step]) -> Vec<(String, Vec<u64>)> {
    let mut all: Vec<(String, Vec<u64>)> = Vec::new();
    for step in steps {
        match all.iter_mut().find(|(name, _)| *name == step.name) {
            Some((_, took)) => took.push(step.took_ms()),
            None => all.push((step.name.clone(), vec![step.took_ms()])),
        }
    }
    for (_, took) in &mut all {
        took.sort_unstable();
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_promotion_is_read_as_its_steps() {
        let text = "\
2026-01-01T00:00:00.000Z 100 Authority(Passed { term: Term(7), from: NodeName(\"a\") })
    Acquire { op: OpId { term: Term(0), seq: 5 }, regardless: false, tip: 400 }
2026-01-01T00:00:00.004Z 104 Done(OpId { term: Term(0), seq: 5 }, Held { term: Term(9), record: None })
    SetIdentity { op: OpId { term: Term(9), seq: 6 }, to: Staked, require: Some(Tower) }
2026-01-01T00:00:00.010Z 110 Done(OpId { term: Term(9), seq: 6 }, Done)
2026-01-01T00:00:00.040Z 140 SwitchMarker(Tower)
    Unmute { op: OpId { term: Term(9), seq: 7 } }
2026-01-01T00:00:00.042Z 142 Done(OpId { term: Term(9), seq: 7 }, Done)
    PointLink { op: OpId { term: Term(9), seq: 8 }, to: Staked }
2026-01-01T00:00:00.043Z 143 Done(OpId { term: Term(9), seq: 8 }, Done)
2026-01-01T00:00:00.060Z 160 Gate(GateFacts { last: None, waiting: 0 })
    Transition { from: Promoting, to: Active, cause: FirstVote, detail: \"slot 9\" }
";
        let told: Vec<(String, u64)> = steps(text)
            .iter()
            .map(|step| (step.name.clone(), step.took_ms()))
            .collect();
        let expected = [
            ("take the term", 4),
            ("identity on", 6),
            ("switch of the validator", 30),
            ("voters on", 2),
            ("link", 1),
            ("link, and the first vote", 18),
        ];
        assert_eq!(told, expected.map(|(name, ms)| (name.to_owned(), ms)));
    }

    #[test]
    fn steps_are_put_together_by_name() {
        let all = [step("mute", 1, 4), step("link", 5, 6), step("mute", 9, 10)];
        let named = by_name(&all);
        assert_eq!(
            named,
            [
                ("mute".to_owned(), vec![1, 3]),
                ("link".to_owned(), vec![1])
            ]
        );
    }
}
