//! The client against a server that answers as told: rightly, wrongly, late or not at all.

use std::os::unix::net::UnixListener as StdListener;

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;

use super::*;

const SHORT: Duration = Duration::from_millis(50);
const LONG: Duration = Duration::from_secs(20);
const KEYPAIR: [u8; 64] = [219; 64];

/// What the fake validator does with one request.
type Script = fn(request: &Value) -> Vec<u8>;

/// A fake validator: every connection brings one request, which is kept and answered by `script`.
struct Fake {
    rpc: AdminRpc,
    seen: mpsc::UnboundedReceiver<Value>,
    _dir: TempDir,
}

impl Fake {
    fn answering(script: Script) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join("admin.rpc")).unwrap();
        let (tell, seen) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, script, tell.clone()));
            }
        });
        Self {
            rpc: AdminRpc::of_ledger(dir.path()),
            seen,
            _dir: dir,
        }
    }

    fn params_seen(&mut self) -> Vec<Value> {
        let mut all = Vec::new();
        while let Ok(request) = self.seen.try_recv() {
            all.push(request["params"].clone());
        }
        all
    }
}

/// Takes a bare object, as the real server does, and closes after an answer without a newline.
async fn serve(mut stream: UnixStream, script: Script, tell: mpsc::UnboundedSender<Value>) {
    let mut bytes = Vec::new();
    let request: Value = loop {
        if stream.read_buf(&mut bytes).await.unwrap() == 0 {
            return;
        }
        if let Ok(request) = serde_json::from_slice(&bytes) {
            break request;
        }
    };
    tell.send(request.clone()).unwrap();
    // A client that gives up on a long answer closes in the middle of it.
    let _ = stream.write_all(&script(&request)).await;
}

fn ok(request: &Value, result: &str) -> Vec<u8> {
    format!(
        "{{\"jsonrpc\":\"2.0\",\"result\":{result},\"id\":{}}}\n",
        request["id"]
    )
    .into()
}

fn err(request: &Value, code: i64, message: &str) -> Vec<u8> {
    let error = serde_json::json!({"code": code, "message": message});
    format!(
        "{{\"jsonrpc\":\"2.0\",\"error\":{error},\"id\":{}}}\n",
        request["id"]
    )
    .into()
}

/// As a server with `size` parameters answers: it reads them as a tuple with serde_json and passes
/// the complaint on.
fn identity_with_params(size: usize, request: &Value) -> Vec<u8> {
    let params = request["params"].clone();
    let read = match size {
        2 => serde_json::from_value::<(Vec<u8>, bool)>(params).map(drop),
        3 => serde_json::from_value::<(Vec<u8>, bool, bool)>(params).map(drop),
        _ => serde_json::from_value::<(Vec<u8>, bool, bool, bool)>(params).map(drop),
    };
    match read {
        Ok(()) => ok(request, "null"),
        Err(error) => err(request, -32602, &format!("Invalid params: {error}.")),
    }
}

async fn fault_of(script: Script) -> Fault {
    let fake = Fake::answering(script);
    fake.rpc
        .remove_all_authorized_voters(LONG)
        .await
        .unwrap_err()
        .fault
}

#[tokio::test]
async fn the_plain_calls_send_their_method_without_params() {
    let mut fake = Fake::answering(|request| match request["method"].as_str().unwrap() {
        "startProgress" => ok(request, "\"Running\""),
        "startTime" => ok(
            request,
            r#"{"secs_since_epoch":1763672220,"nanos_since_epoch":5}"#,
        ),
        "rpcAddress" => ok(request, "\"127.0.0.1:8899\""),
        "contactInfo" => ok(
            request,
            r#"{"id":"Abc","gossip":"127.0.0.1:1","tvu":"127.0.0.1:2","rpc":"127.0.0.1:3","last_updated_timestamp":1,"shred_version":9}"#,
        ),
        "removeAllAuthorizedVoters" | "exit" => ok(request, "null"),
        other => err(request, -32601, other),
    });
    let rpc = &fake.rpc;
    assert_eq!(
        rpc.start_progress(LONG).await.unwrap(),
        StartProgress::Running
    );
    let started = rpc
        .start_time(LONG)
        .await
        .unwrap()
        .duration_since(SystemTime::UNIX_EPOCH);
    assert_eq!(started.unwrap().as_secs(), 1_763_672_220);
    let address = rpc.rpc_address(LONG).await.unwrap().unwrap();
    assert_eq!(address.port(), 8899);
    let info = rpc.contact_info(LONG).await.unwrap();
    assert_eq!((info.id.as_str(), info.shred_version), ("Abc", 9));
    rpc.remove_all_authorized_voters(LONG).await.unwrap();
    rpc.exit(LONG).await.unwrap();
    assert!(
        fake.params_seen()
            .iter()
            .all(|params| *params == serde_json::json!([]))
    );
}

#[tokio::test]
async fn start_progress_names_the_phase_and_its_slots() {
    let fake = Fake::answering(|r| ok(r, r#"{"ProcessingLedger":{"slot":5,"max_slot":9}}"#));
    let phase = "ProcessingLedger".to_owned();
    let expected = StartProgress::Starting {
        phase,
        slot: Some(5),
        max_slot: Some(9),
    };
    assert_eq!(fake.rpc.start_progress(LONG).await.unwrap(), expected);
    let fake = Fake::answering(|r| ok(r, "\"LoadingLedger\""));
    let phase = "LoadingLedger".to_owned();
    let expected = StartProgress::Starting {
        phase,
        slot: None,
        max_slot: None,
    };
    assert_eq!(fake.rpc.start_progress(LONG).await.unwrap(), expected);
    let fake = Fake::answering(|r| ok(r, "17"));
    let error = fake.rpc.start_progress(LONG).await.unwrap_err();
    assert!(
        matches!(error.fault, Fault::Garbage(ref shown) if shown.contains("17")),
        "{error}"
    );
}

#[tokio::test]
async fn set_identity_requires_the_record_of_the_given_kind_and_no_other() {
    let mut fake = Fake::answering(|r| identity_with_params(3, r));
    for require in [None, Some(RecordKind::Tower), Some(RecordKind::VoteHistory)] {
        fake.rpc
            .set_identity_from_bytes(&KEYPAIR, require, LONG)
            .await
            .unwrap();
    }
    let key = KEYPAIR.to_vec();
    let expected = [
        serde_json::json!([key, false, false]),
        serde_json::json!([key, true, false]),
        serde_json::json!([key, false, true]),
    ];
    assert_eq!(fake.params_seen(), expected);
}

#[tokio::test]
async fn an_older_validator_teaches_its_parameter_count_once() {
    let mut fake = Fake::answering(|r| identity_with_params(2, r));
    for _ in 0..2 {
        fake.rpc
            .set_identity_from_bytes(&KEYPAIR, Some(RecordKind::Tower), LONG)
            .await
            .unwrap();
    }
    let counts: Vec<usize> = fake
        .params_seen()
        .iter()
        .map(|p| p.as_array().unwrap().len())
        .collect();
    assert_eq!(counts, [3, 2, 2]);
}

#[tokio::test]
async fn a_validator_updated_since_teaches_the_new_count() {
    let mut fake = Fake::answering(|r| identity_with_params(3, r));
    fake.rpc
        .set_identity_params
        .store(SET_IDENTITY_PARAMS_OLD, Ordering::Relaxed);
    fake.rpc
        .set_identity_from_bytes(&KEYPAIR, Some(RecordKind::Tower), LONG)
        .await
        .unwrap();
    let counts: Vec<usize> = fake
        .params_seen()
        .iter()
        .map(|p| p.as_array().unwrap().len())
        .collect();
    assert_eq!(counts, [2, 3]);
    fake.rpc
        .set_identity_params
        .store(SET_IDENTITY_PARAMS_OLD, Ordering::Relaxed);
    let require = Some(RecordKind::VoteHistory);
    fake.rpc
        .set_identity_from_bytes(&KEYPAIR, require, LONG)
        .await
        .unwrap();
}

#[tokio::test]
async fn an_unknown_parameter_count_is_reported_and_not_tried_forever() {
    let mut fake = Fake::answering(|r| identity_with_params(4, r));
    let error = fake
        .rpc
        .set_identity_from_bytes(&KEYPAIR, None, LONG)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("tuple of size 4"), "{error}");
    assert_eq!(fake.params_seen().len(), 1);
    // A server that refuses both is asked twice and believed.
    let mut fake = Fake::answering(|r| {
        let given = r["params"].as_array().unwrap().len();
        err(
            r,
            -32602,
            if given == 3 {
                "expected fewer elements"
            } else {
                "expected a tuple of size 3"
            },
        )
    });
    fake.rpc
        .set_identity_from_bytes(&KEYPAIR, None, LONG)
        .await
        .unwrap_err();
    assert_eq!(fake.params_seen().len(), 2);
}

#[tokio::test]
async fn a_vote_history_is_never_silently_not_required() {
    let mut fake = Fake::answering(|r| identity_with_params(2, r));
    let require = Some(RecordKind::VoteHistory);
    let error = fake
        .rpc
        .set_identity_from_bytes(&KEYPAIR, require, LONG)
        .await
        .unwrap_err();
    assert!(
        matches!(error.fault, Fault::CannotRequireVoteHistory),
        "{error}"
    );
    assert_eq!(fake.params_seen().len(), 1);
}

#[tokio::test]
async fn a_voter_that_is_already_there_is_success_and_any_other_refusal_is_not() {
    let fake = Fake::answering(|r| err(r, -32602, "Authorized voter already present"));
    fake.rpc
        .add_authorized_voter_from_bytes(&KEYPAIR, LONG)
        .await
        .unwrap();
    let fake = Fake::answering(|r| err(r, -32602, "Failed to read authorized voter keypair"));
    let error = fake
        .rpc
        .add_authorized_voter_from_bytes(&KEYPAIR, LONG)
        .await
        .unwrap_err();
    assert!(
        matches!(error.fault, Fault::Rpc { code: -32602, .. }),
        "{error}"
    );
    assert!(error.to_string().contains("Failed to read"), "{error}");
}

#[tokio::test]
async fn a_validator_in_its_start_is_told_apart_from_a_refusal() {
    let text = |r: &Value| err(r, -32602, "Retry once validator start up is complete");
    assert!(matches!(fault_of(text).await, Fault::NotStarted));
}

#[tokio::test]
async fn a_missing_a_dead_and_a_forbidden_socket_are_three_errors() {
    let dir = tempfile::tempdir().unwrap();
    let rpc = AdminRpc::of_ledger(dir.path());
    let missing = rpc.exit(LONG).await.unwrap_err();
    assert!(matches!(missing.fault, Fault::NoSocket));
    assert!(
        missing.to_string().contains(&*dir.path().to_string_lossy()),
        "{missing}"
    );
    drop(StdListener::bind(rpc.path()).unwrap());
    assert!(matches!(
        rpc.exit(LONG).await.unwrap_err().fault,
        Fault::Refused
    ));
    std::fs::remove_file(rpc.path()).unwrap();
    std::fs::write(rpc.path(), "").unwrap();
    assert!(matches!(
        rpc.exit(LONG).await.unwrap_err().fault,
        Fault::Refused
    ));
}

#[tokio::test]
async fn a_path_that_no_socket_can_have_is_refused_with_its_length() {
    let rpc = AdminRpc::of_ledger(Path::new(&format!("/{}", "l".repeat(97))));
    let error = rpc.exit(LONG).await.unwrap_err();
    assert!(
        matches!(error.fault, Fault::PathTooLong { len: 108 }),
        "{error}"
    );
    assert!(error.to_string().contains("shorter --ledger"), "{error}");
    let rpc = AdminRpc::of_ledger(Path::new(&format!("/{}", "l".repeat(96))));
    assert!(matches!(
        rpc.exit(LONG).await.unwrap_err().fault,
        Fault::NoSocket
    ));
}

#[tokio::test]
async fn a_validator_that_does_not_answer_is_given_up_at_the_deadline_by_name() {
    let dir = tempfile::tempdir().unwrap();
    // It listens and never accepts: the kernel takes the connection and the request.
    let _listener = StdListener::bind(dir.path().join("admin.rpc")).unwrap();
    let rpc = AdminRpc::of_ledger(dir.path());
    let before = Instant::now();
    let error = rpc.remove_all_authorized_voters(SHORT).await.unwrap_err();
    assert!(before.elapsed() >= SHORT);
    assert!(
        matches!(error.fault, Fault::TimedOut { within: SHORT }),
        "{error}"
    );
    assert!(error.to_string().contains("within 50ms"), "{error}");
}

#[tokio::test]
async fn an_answer_that_ends_before_its_newline_was_closed_half_way() {
    let half = |r: &Value| ok(r, "null")[..10].to_vec();
    assert!(matches!(
        fault_of(half).await,
        Fault::ClosedHalfWay { bytes: 10 }
    ));
    assert!(matches!(
        fault_of(|_| vec![]).await,
        Fault::ClosedHalfWay { bytes: 0 }
    ));
    let unended = |r: &Value| ok(r, "null").trim_ascii_end().to_vec();
    assert!(matches!(
        fault_of(unended).await,
        Fault::ClosedHalfWay { .. }
    ));
}

#[tokio::test]
async fn garbage_is_quoted_in_part() {
    let lines: [Script; 4] = [
        |_| b"\n".to_vec(),
        |_| b"[1]\n".to_vec(),
        |r| format!("{{\"jsonrpc\":\"2.0\",\"id\":{}}}\n", r["id"]).into(),
        |r| format!("{{\"error\":{{\"code\":\"x\"}},\"id\":{}}}\n", r["id"]).into(),
    ];
    for (at, line) in lines.into_iter().enumerate() {
        let fault = fault_of(line).await;
        assert!(matches!(fault, Fault::Garbage(_)), "{at}: {fault}");
    }
    let fault = fault_of(|_| b"HTTP/1.1 400 Bad Request\r\n".to_vec()).await;
    assert!(fault.to_string().contains("HTTP/1.1 400"), "{fault}");
    let fault = fault_of(|_| [&[0xff_u8; 5000][..], b"\n"].concat()).await;
    assert!(fault.to_string().len() < 2000, "{fault}");
}

#[tokio::test]
async fn an_endless_answer_is_cut_off() {
    assert!(matches!(
        fault_of(|_| vec![b'x'; 3 * ANSWER_BYTES_MAX]).await,
        Fault::TooLarge
    ));
}

#[tokio::test]
async fn an_answer_to_another_request_is_not_taken_for_ours() {
    let other = |_: &Value| b"{\"jsonrpc\":\"2.0\",\"result\":null,\"id\":999}\n".to_vec();
    let fault = fault_of(other).await;
    assert!(matches!(fault, Fault::WrongId { asked: 1, .. }), "{fault}");
    let text = |_: &Value| {
        b"{\"jsonrpc\":\"2.0\",\"error\":{\"code\":1,\"message\":\"m\"},\"id\":\"1\"}\n".to_vec()
    };
    assert!(matches!(fault_of(text).await, Fault::WrongId { .. }));
    let unread = |_: &Value| {
        b"{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32700,\"message\":\"Parse error\"},\"id\":null}\n".to_vec()
    };
    assert!(matches!(
        fault_of(unread).await,
        Fault::Rpc { code: -32700, .. }
    ));
}

#[tokio::test]
async fn no_error_of_a_call_with_a_key_shows_a_byte_of_it() {
    let echoes: [Script; 4] = [
        |r| format!("{r}\n").into(),
        |r| format!("bad: {}\n", r["params"]).into(),
        |r| err(r, -32602, &format!("cannot use {}", r["params"][0])),
        |r| format!("{{\"result\":null,\"id\":{}}}\n", r["params"][0]).into(),
    ];
    for echo in echoes {
        let fake = Fake::answering(echo);
        let errors = [
            fake.rpc
                .set_identity_from_bytes(&KEYPAIR, None, LONG)
                .await
                .unwrap_err(),
            fake.rpc
                .add_authorized_voter_from_bytes(&KEYPAIR, LONG)
                .await
                .unwrap_err(),
        ];
        for error in errors {
            let all = format!("{error} {error:?} {:?}", fake.rpc);
            assert!(!all.contains("219"), "{all}");
        }
    }
}
