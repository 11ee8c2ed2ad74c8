use super::*;

fn node(name: &str) -> NodeName {
    NodeName(name.into())
}

fn there(names: &[(&str, bool)]) -> BTreeMap<NodeName, Presence> {
    let presence = |is: bool| if is { Presence::There } else { Presence::Away };
    let names = names.iter();
    names
        .map(|(name, is)| (node(name), presence(*is)))
        .collect()
}

/// An operator's word, or a right, is not for one that has just come back (a trace of the model of three nodes).
#[test]
fn one_that_is_met_and_has_not_spoken_yet_is_not_passed_over() {
    let mut pact = Pact::begin(node("a"), &Ballot::default());
    let met = BTreeMap::from([(node("b"), Presence::Met)]);
    let barred = Err(Barred::Met(vec![node("b")]));
    assert_eq!(pact.ask(&met, Term(7), 1_000, true), barred);
    let mut entitled = holder();
    entitled.keep(entitled.end(None));
    assert_eq!(entitled.ask(&met, Term(2), 1_000, false), barred);
}

/// `a`, which holds a term that `b` has promised.
fn holder() -> Pact {
    let mut pact = Pact::begin(node("a"), &Ballot::default());
    let asked = pact.ask(&there(&[("b", true)]), Term(0), 0, false);
    assert_eq!(asked, Ok(Term(2)));
    pact.promised(Term(2), &node("b"));
    let ballot = pact.conclude().expect("a term");
    assert_eq!(pact.keep(ballot), None);
    pact.take();
    pact
}

#[test]
fn a_term_takes_the_promise_of_everybody_that_can_be_asked() {
    let mut pact = Pact::begin(node("a"), &Ballot::default());
    let away = pact.ask(&there(&[("b", true), ("c", false)]), Term(0), 0, false);
    assert_eq!(away, Err(Barred::Away(vec![node("c")])));
    let both = there(&[("b", true), ("c", true)]);
    assert_eq!(pact.ask(&both, Term(4), 0, false), Ok(Term(6)));
    pact.promised(Term(6), &node("b"));
    pact.promised(Term(3), &node("c"));
    assert!(pact.is_open(), "an answer to another question");
    let mut late = pact.clone();
    assert_eq!(late.conclude(), Err("c has not answered".into()));
    pact.promised(Term(6), &node("c"));
    assert_eq!(pact.conclude(), Ok(Ballot::held(Term(6), &node("a"))));
}

#[test]
fn a_dead_node_is_done_without_until_it_is_met_again() {
    let mut pact = Pact::begin(node("b"), &Ballot::held(Term(7), &node("a")));
    let away = there(&[("a", false), ("c", false)]);
    pact.bury(node("a"));
    let barred = pact.clone().ask(&away, Term(7), 1_000, false);
    assert_eq!(barred, Err(Barred::Away(vec![node("c")])), "the other one");
    pact.bury(node("c"));
    assert_eq!(
        pact.clone().ask(&away, Term(7), 1_000, false),
        Ok(Term(1_000))
    );
    pact.met(&node("a"));
    let barred = pact.ask(&away, Term(7), 1_000, false);
    assert_eq!(barred, Err(Barred::Away(vec![node("a")])));
}

/// `a` was ended and `b` has followed it; then `c` had the term, and gave it to `a` again, which `b` does not hear.
#[test]
fn a_proof_of_death_is_for_one_term() {
    let (a, c) = (node("a"), node("c"));
    let others = there(&[("a", false), ("c", true)]);
    let mut b = Pact::begin(node("b"), &Ballot::held(Term(7), &a));
    b.bury(a.clone());
    let term = b.ask(&others, Term(7), 1_000, false).expect("a is off");
    b.promised(term, &c);
    let ballot = b.conclude().expect("a term");
    b.keep(ballot);
    b.take();
    b.keep(b.end(Some(c.clone())));
    for (heard, of) in [(term.0 + 1, &c), (term.0 + 2, &a)] {
        let heard = b.hear(&Ballot::held(Term(heard), of), &c);
        b.keep(heard.expect("a higher one"));
    }
    let barred = b.ask(&others, Term(term.0 + 2), 2_000, false);
    assert_eq!(barred, Err(Barred::Away(vec![a])));
}

#[test]
fn the_word_of_an_operator_is_above_every_one_given_before() {
    let asks = |by: &str, other: &str, at: u64| {
        let mut pact = Pact::begin(node(by), &Ballot::held(Term(7), &node("a")));
        pact.ask(&there(&[(other, false)]), Term(7), at, true)
            .map(|term| term.0)
    };
    assert_eq!(
        (asks("b", "a", 1_000), asks("a", "b", 1_002)),
        (Ok(1_001), Ok(1_002))
    );
    let mut pact = Pact::begin(node("b"), &Ballot::held(Term(7), &node("a")));
    let held = pact.ask(&there(&[("a", true)]), Term(7), 1_000, true);
    assert!(matches!(held, Err(Barred::Held { .. })), "it is there");
}

/// Seed p335 of the simulation: `a` was passed over, hears of a record of `b`, and loses the link before it hears of its term.
#[test]
fn a_record_of_a_higher_term_ends_the_right_by_a_lower_one() {
    let mut a = holder();
    a.keep(a.end(None));
    let apart = there(&[("b", false)]);
    assert_eq!(a.clone().ask(&apart, Term(2), 0, false), Ok(Term(4)));
    let away = a.ask(&apart, Term(1_001), 0, false);
    assert_eq!(away, Err(Barred::Away(vec![node("b")])));
}

#[test]
fn a_holder_promises_nothing_and_loses_its_term_to_a_higher_one_alone() {
    let mut pact = holder();
    assert!(pact.may_commit(Term(2)));
    let refused = pact.asked(Term(9), &node("b"), |_| true);
    assert_eq!(refused, Err("a holds term 2".into()));
    assert_eq!(
        pact.hear(&Ballot::held(Term(2), &node("a")), &node("b")),
        None
    );
    let higher = pact.hear(&Ballot::held(Term(9), &node("b")), &node("b"));
    assert_eq!(pact.keep(higher.expect("a ballot")), Some(Term(2)));
    assert!(!pact.may_commit(Term(2)) && !pact.is_entitled());
}

#[test]
fn a_standby_does_not_help_to_depose_a_holder_that_is_there() {
    let pact = Pact::begin(node("b"), &Ballot::held(Term(7), &node("a")));
    let refused = pact.asked(Term(8), &node("c"), |_| true);
    assert_eq!(refused, Err("a holds term 7".into()));
    assert!(pact.asked(Term(8), &node("c"), |_| false).is_ok());
    assert!(pact.asked(Term(8), &node("a"), |_| true).is_ok());
}

#[test]
fn a_term_that_ended_without_an_heir_leaves_the_right_with_its_process() {
    let mut pact = holder();
    pact.keep(pact.end(None));
    assert!(!pact.holds() && pact.is_entitled() && !is_left_over(&pact));
    assert!(pact.asked(Term(3), &node("b"), |_| true).is_ok());
    let mut named = holder();
    named.keep(named.end(Some(node("b"))));
    assert!(!named.is_entitled());
    let again = Pact::begin(node("a"), holder().ballot());
    assert!(is_left_over(&again) && !again.is_entitled());
}

fn is_left_over(pact: &Pact) -> bool {
    pact.is_left_over([true, true].into_iter())
}

/// `a` held a term and was off, and an operator had `c` take the next one, which `b` has not heard of: as the heir of `a`, `b`
/// would vote without what `c` has voted (simulation, seed p1958).
#[test]
fn an_heir_of_an_earlier_process_is_named_again_only_where_all_others_are_heard() {
    let mut named = holder();
    named.keep(named.end(Some(node("c"))));
    assert_eq!(named.told([false, true].into_iter()).heir, Some(node("c")));
    let again = Pact::begin(node("a"), named.ballot());
    assert_eq!(again.ballot().heir, Some(node("c")), "it stays on the disk");
    assert_eq!(again.told([false, true].into_iter()).heir, None);
    assert_eq!(again.told([true, true].into_iter()).heir, Some(node("c")));
}

#[test]
fn what_was_held_is_given_away_only_where_all_others_are_heard() {
    let a = Pact::begin(node("a"), holder().ballot());
    assert!(is_left_over(&a));
    assert!(!a.is_left_over([true, false].into_iter()));
}

/// Of three nodes `c` ends its term and keeps the right. `a` asks both others, `b` promises, and the link to `c` is lost. What
/// `b` has promised is not left over at `a`: as its heir `b` would vote beside `c` (simulation, seed p179).
#[test]
fn a_term_that_was_promised_and_never_taken_gives_nobody_a_right() {
    let others = there(&[("b", true), ("c", true)]);
    let mut c = Pact::begin(node("c"), &Ballot::default());
    let asked = c.ask(&there(&[("a", true), ("b", true)]), Term(2), 0, false);
    assert_eq!(asked, Ok(Term(5)));
    c.promised(Term(5), &node("a"));
    c.promised(Term(5), &node("b"));
    let held = c.conclude().expect("a term");
    c.keep(held);
    c.take();
    c.keep(c.end(None));
    let mut a = Pact::begin(node("a"), c.ballot());
    let mut b = Pact::begin(node("b"), c.ballot());
    assert_eq!(a.ask(&others, Term(5), 0, false), Ok(Term(6)));
    b.keep(b.asked(Term(6), &node("a"), |_| true).expect("a promise"));
    a.lost(&node("c"), "the link is lost");
    assert!(a.conclude().is_err());
    a.keep(a.hear(b.ballot(), &node("b")).expect("a ballot"));
    assert!(!is_left_over(&a) && !a.is_entitled());
    assert!(!is_left_over(&Pact::begin(node("a"), a.ballot())));
    assert!(c.is_entitled(), "it has not heard of it");
}

#[test]
fn of_two_that_ask_at_once_one_gives_way() {
    let asks = |name: &str, other: &str| {
        let mut pact = Pact::begin(node(name), &Ballot::default());
        let term = pact.ask(&there(&[(other, true)]), Term(0), 0, false);
        (pact, term.expect("asked"))
    };
    let ((a, high), (b, low)) = (asks("a", "b"), asks("b", "a"));
    assert_eq!((high, low), (Term(2), Term(1)));
    assert!(a.asked(low, &node("b"), |_| true).is_err());
    let given = b.asked(high, &node("a"), |_| true);
    let mut b = b;
    b.keep(given.expect("a ballot"));
    b.promised(low, &node("a"));
    assert!(b.conclude().is_err(), "it has given way");
}

/// The disk refuses the ballot of a term that all have promised.
#[test]
fn a_term_that_cannot_be_kept_takes_no_right_away() {
    let mut pact = holder();
    pact.keep(pact.end(None));
    let asked = pact.ask(&there(&[("b", true)]), Term(2), 0, false);
    assert_eq!(asked, Ok(Term(4)));
    pact.promised(Term(4), &node("b"));
    assert!(pact.conclude().is_ok());
    assert!(pact.is_entitled(), "it was not kept");
    let mut kept = holder();
    kept.keep(kept.end(None));
    kept.ask(&there(&[("b", true)]), Term(2), 0, false)
        .expect("asked");
    kept.promised(Term(4), &node("b"));
    let ballot = kept.conclude().expect("a term");
    assert_eq!(kept.keep(ballot), None, "what it held before is not lost");
}

#[test]
fn terms_at_the_end_of_the_numbers_do_not_begin_anew() {
    let mut pact = Pact::begin(node("b"), &Ballot::default());
    let asked = pact.ask(&there(&[("a", true)]), Term(u64::MAX - 1), 0, false);
    assert_eq!(asked, Ok(Term(u64::MAX)));
}
