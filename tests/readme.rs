//! What the README shows is so: its configuration is accepted, its commands exist, its roles are those of the engine.

use std::collections::BTreeSet;

use clap::{CommandFactory as _, Parser as _};
use validator_supervisor::cli::{Cli, CtlCommand, TopCommand};
use validator_supervisor::config::{AuthorityKind, Loaded};
use validator_supervisor::engine::table;
use validator_supervisor::engine::values::Role;

const README: &str = include_str!("../README.md");

/// The contents of the fenced blocks of one language.
fn blocks(language: &str) -> Vec<&'static str> {
    let fence = format!("```{language}\n");
    let rest = README.split(fence.as_str()).skip(1);
    rest.filter_map(|rest| rest.split_once("```").map(|(block, _)| block))
        .collect()
}

/// Every `supervisor …` that a reader may type, without the prompt and the remark behind it.
fn commands() -> Vec<&'static str> {
    let lines = ["sh", "text"]
        .into_iter()
        .flat_map(blocks)
        .flat_map(str::lines);
    let in_blocks = lines.filter_map(|line| {
        let line = line.strip_prefix("$ ").unwrap_or(line);
        line.starts_with("supervisor ")
            .then(|| line.split(" #").next().unwrap_or(line).trim())
    });
    let in_text = README
        .split('`')
        .filter(|part| part.starts_with("supervisor ctl ") && !part.contains('\n'));
    in_blocks.chain(in_text).collect()
}

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(line.split_whitespace())
}

#[test]
fn the_configurations_are_accepted_and_that_of_one_node_has_below_ten_lines() {
    let configs = blocks("toml");
    assert_eq!(configs.len(), 3);
    let peer = Loaded::parse(configs[1], "fra-1")
        .map_err(|problems| problems.to_string())
        .expect("a good configuration");
    assert_eq!(peer.config.authority.kind, AuthorityKind::Peer);
    let etcd = Loaded::parse(configs[2], "host")
        .map_err(|problems| problems.to_string())
        .expect("a good configuration");
    assert_eq!(etcd.config.authority.kind, AuthorityKind::Etcd);
    assert!(configs[0].lines().count() < 10);
    let loaded = Loaded::parse(configs[0], "host")
        .map_err(|problems| problems.to_string())
        .expect("a good configuration");
    assert_eq!(loaded.config.authority.kind, AuthorityKind::Local);
    assert!(Loaded::parse(&configs[0].replace("unstaked", "unsteaked"), "host").is_err());
}

#[test]
fn every_command_shown_exists() {
    let commands = commands();
    assert!(commands.len() > 10, "{commands:?}");
    for line in commands {
        assert!(
            parse(line).is_ok(),
            "`{line}`: {}",
            parse(line)
                .err()
                .map(|error| error.to_string())
                .unwrap_or_default()
        );
    }
    assert!(parse("supervisor ctl promoet").is_err());
}

#[test]
fn every_command_of_ctl_is_shown() {
    let shown: BTreeSet<String> = commands()
        .into_iter()
        .filter_map(|line| {
            Some(
                line.strip_prefix("supervisor ctl ")?
                    .split(' ')
                    .next()?
                    .to_owned(),
            )
        })
        .collect();
    let cli = Cli::command();
    let ctl = cli.find_subcommand("ctl").expect("ctl");
    for name in ctl
        .get_subcommands()
        .map(clap::Command::get_name)
        .filter(|name| *name != "help")
    {
        assert!(
            shown.contains(name),
            "supervisor ctl {name} is not in the README"
        );
    }
}

#[test]
fn the_first_promotion_is_the_one_with_the_flag() {
    let first = commands()
        .into_iter()
        .find(|line| line.starts_with("supervisor ctl promote"))
        .expect("a promotion");
    let TopCommand::Ctl(args) = parse(first).expect("a command").command else {
        panic!("{first}")
    };
    assert!(matches!(
        args.command,
        CtlCommand::Promote {
            first_vote: true,
            accept_double_vote_risk: false,
            ..
        }
    ));
}

#[test]
fn the_diagram_is_that_of_the_table() {
    assert_eq!(
        blocks("mermaid"),
        [table::diagram()],
        "put this in its place:\n{}",
        table::diagram()
    );
}

#[test]
fn every_role_has_its_line() {
    for role in Role::ALL {
        assert!(README.contains(&format!("\n| `{role}` | ")), "{role}");
    }
}
