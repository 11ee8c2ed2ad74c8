//! The file that the package installs has every key, and what it shows is taken.

use std::collections::BTreeSet;

use super::*;

const PACKAGED: &str = include_str!("../../../packaging/config.toml");

/// Each line with its section, and without the mark that comments it out where it is a key or a section.
fn lines() -> Vec<(String, &'static str)> {
    let mut section = String::new();
    let lines = PACKAGED.lines().map(|line| {
        let bare = line.strip_prefix('#').unwrap_or(line);
        let is_section = bare.starts_with('[') && bare.trim_end().ends_with(']');
        if is_section {
            section = bare.trim_matches(['[', ']']).to_owned();
        }
        let is_key = bare.starts_with(|c: char| c.is_ascii_lowercase()) && bare.contains(" = ");
        (
            section.clone(),
            if is_section || is_key { bare } else { line },
        )
    });
    lines.collect()
}

#[test]
fn it_is_taken_as_it_is() {
    let loaded = Loaded::parse(PACKAGED, "host").expect("a good configuration");
    assert_eq!(loaded.config.authority.kind, AuthorityKind::Local);
}

#[test]
fn it_has_every_key_and_no_other() {
    let keys = lines().into_iter().filter_map(|(section, line)| {
        let name = line.split_once(" = ")?.0;
        let is_name = name.chars().all(|c| c.is_ascii_lowercase() || c == '_');
        let path = if section.is_empty() {
            name.to_owned()
        } else {
            format!("{section}.{name}")
        };
        is_name.then_some(path)
    });
    let known: BTreeSet<String> = schema::KEYS.iter().map(|key| key.path.to_owned()).collect();
    assert_eq!(keys.collect::<BTreeSet<_>>(), known);
}

#[test]
fn whatever_authority_is_taken_of_it_all_of_it_is_accepted() {
    for (kind, others) in [
        (
            AuthorityKind::Local,
            &["authority", "authority.etcd", "peer"][..],
        ),
        (AuthorityKind::Peer, &["authority", "authority.etcd"]),
        (AuthorityKind::Etcd, &["authority", "peer"]),
    ] {
        let of_it = lines();
        let of_it = of_it
            .iter()
            .filter(|(section, _)| !others.contains(&section.as_str()));
        let text: Vec<&str> = of_it.map(|(_, line)| *line).collect();
        let loaded = Loaded::parse(&text.join("\n"), "host");
        let loaded = loaded.unwrap_or_else(|problems| panic!("{kind:?}: {problems}"));
        assert_eq!(loaded.config.authority.kind, kind);
        assert_eq!(loaded.config.node, "fra-1");
    }
}
