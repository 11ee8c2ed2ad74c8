//! What a reload takes in while the supervisor runs, and what it leaves for the next start.

use super::*;

#[test]
fn a_reload_takes_what_it_can_and_names_the_rest() {
    let text = ETCD
        .replace("hold_max = \"20s\"", "hold_max = \"30s\"")
        .replace("group = \"validators\"\n", "")
        .replace("ledger = \"/l\"", "ledger = \"/l2\"");
    let (old, new) = (load(ETCD).config, load(&text).config);
    let listed: Vec<_> = changes(&old, &new)
        .into_iter()
        .map(|change| (change.key, change.from, change.to, change.reload))
        .collect();
    let toml = |text: &str| Some(format!("\"{text}\""));
    assert_eq!(
        listed,
        [
            ("validator.ledger", toml("/l"), toml("/l2"), Reload::Restart),
            ("gate.hold_max", toml("20s"), toml("30s"), Reload::Live),
            ("control.group", toml("validators"), None, Reload::Restart),
        ]
    );
}

#[test]
fn what_a_reload_applies_is_what_the_table_calls_live() {
    let (old, new) = (load(MINIMAL).config, load(ETCD).config);
    let after = apply_live(&old, &new);
    assert!(
        changes(&old, &after)
            .iter()
            .all(|change| change.reload == Reload::Live)
    );
    assert!(
        changes(&after, &new)
            .iter()
            .all(|change| change.reload == Reload::Restart)
    );
    assert!(
        changes(&old, &new)
            .iter()
            .filter(|change| change.reload == Reload::Live)
            .count()
            == 10
    );
}
