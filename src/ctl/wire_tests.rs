//! The words as bytes, since other programs write and read them.

use serde_json::json;

use super::*;

fn refusal(line: &str) -> String {
    parse_request(line.as_bytes()).unwrap_err().to_string()
}

#[test]
fn every_request_is_written_and_read_as_documented() {
    let promote = |first_vote, accept_double_vote_risk| Request::Promote {
        first_vote,
        accept_double_vote_risk,
        now: false,
    };
    for (request, line) in [
        (Request::Status {}, r#"{"v":1,"request":"status"}"#),
        (Request::Explain {}, r#"{"v":1,"request":"explain"}"#),
        (
            Request::History { limit: Some(5) },
            r#"{"v":1,"request":"history","limit":5}"#,
        ),
        (
            Request::Demote { now: true },
            r#"{"v":1,"request":"demote","now":true}"#,
        ),
        (
            Request::Handover {
                to: Some("b".into()),
                now: false,
            },
            r#"{"v":1,"request":"handover","to":"b","now":false}"#,
        ),
        (Request::Drill {}, r#"{"v":1,"request":"drill"}"#),
        (
            Request::Relieve { now: false },
            r#"{"v":1,"request":"relieve"}"#,
        ),
        (
            promote(true, false),
            r#"{"v":1,"request":"promote","first_vote":true,"accept_double_vote_risk":false}"#,
        ),
        (Request::Resume {}, r#"{"v":1,"request":"resume"}"#),
        (
            Request::Pause { for_ms: 60_000 },
            r#"{"v":1,"request":"pause","for_ms":60000}"#,
        ),
        (
            Request::Restart { now: false },
            r#"{"v":1,"request":"restart"}"#,
        ),
    ] {
        assert_eq!(request_line(&request), format!("{line}\n"));
        assert_eq!(parse_request(line.as_bytes()).unwrap(), request);
    }
    let bare = parse_request(br#"{"v":1,"request":"promote"}"#).unwrap();
    assert_eq!(bare, promote(false, false));
    assert_eq!(
        parse_request(br#"{"v":1,"request":"history"}"#).unwrap(),
        Request::History { limit: None }
    );
}

#[test]
fn a_flag_that_is_misspelt_is_refused_and_never_taken_as_absent() {
    let line = r#"{"v":1,"request":"promote","acept_double_vote_risk":true}"#;
    assert!(refusal(line).contains("acept_double_vote_risk"));
    for request in [
        "status", "explain", "history", "demote", "promote", "resume", "restart", "handover",
        "drill", "relieve",
    ] {
        let line = json!({"v": 1, "request": request, "extra": 1}).to_string();
        assert!(
            refusal(&line).contains("unknown field `extra`"),
            "{request}: {}",
            refusal(&line)
        );
    }
}

#[test]
fn what_is_no_request_is_named() {
    for (line, part) in [
        ("", "not JSON"),
        ("hello", "not JSON"),
        ("[1]", "not an object"),
        ("{}", "`v` is missing"),
        (r#"{"request":"status"}"#, "`v` is missing"),
        (r#"{"v":2,"request":"status"}"#, "`v` is 2"),
        (r#"{"v":"1","request":"status"}"#, "speaks 1"),
        (r#"{"v":1}"#, "missing field `request`"),
        (r#"{"v":1,"request":"vote"}"#, "unknown variant `vote`"),
        (r#"{"v":1,"request":7}"#, "request"),
        (
            r#"{"v":1,"request":"promote","first_vote":"yes"}"#,
            "invalid type",
        ),
        (r#"{"v":1,"request":"history","limit":-1}"#, "invalid value"),
    ] {
        let text = refusal(line);
        assert!(text.contains(part) || part == "request", "{line}: {text}");
    }
    assert!(parse_request(&[b'['; 60_000]).is_err());
    assert!(parse_request(b"\xff\xfe").is_err());
    let long_version = format!(r#"{{"v":"{}"}}"#, "9".repeat(50_000));
    assert!(refusal(&long_version).len() < 200);
}

#[test]
fn every_reply_comes_back_from_its_line() {
    let explain = Explain {
        node: "a".into(),
        role: Role::CatchingUp,
        since: Timestamp::from_unix_ms(1),
        because: "b".into(),
        detail: None,
        doing: "c".into(),
        next: None,
        deadline: Some(Timestamp::from_unix_ms(2)),
        deadline_for: Some("d".into()),
    };
    let entry = HistoryEntry {
        at: Timestamp::from_unix_ms(3),
        from: Role::Starting,
        to: Role::CatchingUp,
        term: None,
        cause: "child-up".into(),
        text: "x\ny".into(),
    };
    for reply in [
        Reply::progress("one"),
        Reply::end(values::Verdict::Unsafe, "two\nlines"),
        Reply::Explain {
            explain: Box::new(explain),
        },
        Reply::History {
            entries: vec![entry],
        },
        Reply::Error {
            text: "three".into(),
        },
    ] {
        let line = reply_line(&reply);
        assert_eq!(line.find('\n'), Some(line.len() - 1), "one line each");
        assert_eq!(parse_reply(line.as_bytes()).unwrap(), reply);
    }
    let end = reply_line(&Reply::end(values::Verdict::Done, "x"));
    assert_eq!(
        end,
        "{\"v\":1,\"reply\":\"final\",\"verdict\":\"done\",\"text\":\"x\"}\n"
    );
}

#[test]
fn a_status_has_every_field_and_null_for_what_is_unknown() {
    let status = Status {
        node: "fra-1".into(),
        identity: None,
        vote_account: None,
        role: Role::CatchingUp,
        since: Timestamp::from_unix_ms(0),
        term: None,
        reason: "r".into(),
        authority: AuthorityStatus {
            kind: "local".into(),
            holder: None,
            healthy: None,
            lease_left_ms: None,
        },
        record: RecordStatus::default(),
        gate: GateStatus::default(),
        validator: ValidatorStatus::default(),
        peers: vec![PeerStatus {
            node: "ams-1".into(),
            role: None,
            healthy: None,
            slots_behind: None,
            record_slot: None,
            version: None,
            validator_since: None,
            restarts: None,
            in_step: None,
            seen_ms: None,
            paused_until: None,
        }],
        paused_until: None,
        next_leader_slot: None,
    };
    assert_eq!(
        serde_json::to_value(&status).unwrap(),
        json!({
            "node": "fra-1", "identity": null, "vote_account": null, "role": "catching-up",
            "since": "1970-01-01T00:00:00.000Z", "term": null, "reason": "r",
            "authority": {"kind": "local", "holder": null, "healthy": null, "lease_left_ms": null},
            "record": {"kind": null, "slot": null, "seq": null, "sha256": null},
            "gate": {"commits": 0, "refused": 0, "waiting": 0, "latency_us": {"p50": null, "p99": null, "max": null}},
            "validator": {"client": null, "version": null, "pid": null, "identity": null, "healthy": null,
                "slot": null, "slots_behind": null, "rpc_trouble": null, "restarts": 0},
            "peers": [{"node": "ams-1", "role": null, "healthy": null, "slots_behind": null,
                "record_slot": null, "version": null, "validator_since": null, "restarts": null, "in_step": null, "seen_ms": null, "paused_until": null}],
            "paused_until": null, "next_leader_slot": null,
        })
    );
    let reply = Reply::Status {
        status: Box::new(status),
    };
    assert_eq!(parse_reply(reply_line(&reply).as_bytes()).unwrap(), reply);
}

#[test]
fn roles_are_read_back_by_name_and_others_refused() {
    for role in Role::ALL {
        let entry = json!({"at": "1970-01-01T00:00:00.000Z", "from": role.name(), "to": role.name(),
            "term": 1, "cause": "c", "text": "t"});
        let entry: HistoryEntry = serde_json::from_value(entry).unwrap();
        assert_eq!((entry.from, entry.to), (role, role));
    }
    let entry = json!({"at": "1970-01-01T00:00:00.000Z", "from": "king", "to": "active",
        "term": 1, "cause": "c", "text": "t"});
    let error = serde_json::from_value::<HistoryEntry>(entry).unwrap_err();
    assert!(error.to_string().contains("unknown role `king`"));
}

#[test]
fn only_commands_reach_the_engine() {
    assert_eq!(Request::Status {}.command(Millis(5)), None);
    assert_eq!(
        Request::Demote { now: true }.command(Millis(5)),
        Some(Command::Demote { at_once: true })
    );
    let request = Request::Promote {
        first_vote: false,
        accept_double_vote_risk: true,
        now: false,
    };
    let flags = PromoteFlags {
        first_vote: false,
        accept_double_vote_risk: true,
        at_once: false,
    };
    assert_eq!(request.command(Millis(5)), Some(Command::Promote(flags)));
}
