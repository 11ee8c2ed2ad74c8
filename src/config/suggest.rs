//! What an unknown key or section was probably meant to be.

use super::schema::{KEYS, sections};

/// What to say after "unknown key": a key of the same section that is spelled alike, the section that a
/// key of this name belongs to, or a key of another section that is spelled alike. Empty if nothing is near.
pub(super) fn for_key(section: &str, name: &str) -> String {
    let places = || KEYS.iter().map(super::schema::Key::place);
    let here = places().filter(|(s, _)| *s == section).map(|(_, key)| key);
    if let Some(key) = nearest(name, here) {
        return format!("; did you mean {key}?");
    }
    let homes: Vec<_> = places()
        .filter(|(_, key)| *key == name)
        .map(|(home, _)| bracketed(home))
        .collect();
    if !homes.is_empty() {
        return format!("; it belongs {}", homes.join(" or "));
    }
    if let Some(key) = nearest(name, places().map(|(_, key)| key)) {
        let home = places()
            .find(|(_, k)| *k == key)
            .map_or("", |(home, _)| home);
        return format!("; did you mean {key}, which belongs {}?", bracketed(home));
    }
    String::new()
}

/// What to say after "unknown section"; empty if nothing is near.
pub(super) fn for_section(name: &str) -> String {
    if let Some(section) = nearest(name, sections().into_iter()) {
        return format!("; did you mean [{section}]?");
    }
    let last_part = |section: &&str| section.rsplit('.').next() == Some(name);
    match sections().into_iter().find(last_part) {
        Some(section) => format!("; did you mean [{section}]?"),
        None => format!("; the sections are {}", sections().join(", ")),
    }
}

fn bracketed(section: &str) -> String {
    if section.is_empty() {
        "at the top of the file, before the first section".to_owned()
    } else {
        format!("in [{section}]")
    }
}

/// The candidate spelled most like `name`, if it is near enough to be a slip: a third of its length.
fn nearest<'c>(name: &str, candidates: impl Iterator<Item = &'c str>) -> Option<&'c str> {
    let plain = |text: &str| text.to_ascii_lowercase().replace('-', "_");
    candidates
        .map(|candidate| (distance(&plain(name), candidate), candidate))
        .filter(|(distance, candidate)| *distance <= candidate.len().div_ceil(3).min(3))
        .min()
        .map(|(_, candidate)| candidate)
}

/// Edit distance (Levenshtein), in characters.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_counts_inserted_removed_and_replaced_letters() {
        for (a, b, expected) in [
            ("", "abc", 3),
            ("abc", "abc", 0),
            ("ac", "abc", 1),
            ("axc", "abc", 1),
            ("bca", "abc", 2),
        ] {
            assert_eq!(distance(a, b), expected, "{a} {b}");
        }
    }

    #[test]
    fn the_own_section_goes_before_another_and_nothing_near_gives_no_suggestion() {
        assert_eq!(for_key("gate", "hold-max"), "; did you mean hold_max?");
        assert_eq!(for_key("validator", "hold_max"), "; it belongs in [gate]");
        assert_eq!(
            for_key("cluster", "hold_mx"),
            "; did you mean hold_max, which belongs in [gate]?"
        );
        assert_eq!(
            for_key("gate", "cert"),
            "; it belongs in [authority.etcd] or in [peer]"
        );
        assert_eq!(
            for_key("gate", "node"),
            "; it belongs at the top of the file, before the first section"
        );
        assert_eq!(for_key("gate", "colour"), "");
    }

    #[test]
    fn a_section_is_found_by_a_slip_or_by_its_last_part() {
        assert_eq!(for_section("valdator"), "; did you mean [validator]?");
        assert_eq!(for_section("etcd"), "; did you mean [authority.etcd]?");
        assert!(
            for_section("colour").starts_with("; the sections are identity, validator, authority,")
        );
    }
}
