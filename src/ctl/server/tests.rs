//! A real socket, real clients, and a loop played by the test.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::*;
use crate::ctl::access::Group;
use crate::ctl::socket::{SocketFile, listen_on};
use crate::ctl::wire::REQUEST_BYTES_MAX;
use crate::engine::values::Verdict;

const PATIENCE: Duration = Duration::from_secs(20);
const STATUS: &[u8] = b"{\"v\":1,\"request\":\"explain\"}\n";
const DEMOTE: &[u8] = b"{\"v\":1,\"request\":\"demote\"}\n";

struct Served {
    path: PathBuf,
    events: mpsc::Receiver<Event>,
    _file: SocketFile,
    _dir: TempDir,
}

fn own_rule() -> Rule {
    Rule {
        own_uid: nix::unistd::geteuid().as_raw(),
        group: None,
    }
}

fn served_with(rule: Rule, limits: Limits) -> Served {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ctl.sock");
    let (listener, file) = listen_on(&path, None).unwrap().into_tokio().unwrap();
    let (tell, events) = mpsc::channel(8);
    tokio::spawn(serve(listener, rule, limits, tell));
    Served {
        path,
        events,
        _file: file,
        _dir: dir,
    }
}

fn served() -> Served {
    served_with(own_rule(), Limits::default())
}

impl Served {
    async fn connect(&self) -> UnixStream {
        UnixStream::connect(&self.path).await.unwrap()
    }

    async fn sending(&self, bytes: &[u8]) -> UnixStream {
        let mut stream = self.connect().await;
        // The server may refuse before it has read all.
        let _ = stream.write_all(bytes).await;
        stream
    }

    async fn event(&mut self) -> Event {
        timeout(PATIENCE, self.events.recv())
            .await
            .unwrap()
            .unwrap()
    }

    async fn call(&mut self) -> Call {
        match self.event().await {
            Event::Call(call) => call,
            other => panic!("{other:?}"),
        }
    }
}

async fn all_text(mut stream: UnixStream) -> String {
    let mut text = String::new();
    timeout(PATIENCE, stream.read_to_string(&mut text))
        .await
        .unwrap()
        .unwrap();
    text
}

/// The text of the one error that the server answers before it closes.
async fn error_text(stream: UnixStream) -> String {
    let answer = all_text(stream).await;
    assert_eq!(answer.lines().count(), 1, "{answer}");
    match crate::ctl::wire::parse_reply(answer.as_bytes()).unwrap() {
        Reply::Error { text } => text,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_command_gets_its_steps_in_order_and_then_its_end() {
    let mut served = served();
    let client = served.sending(DEMOTE).await;
    let call = served.call().await;
    assert_eq!(call.request, Request::Demote { now: false });
    assert_eq!(call.peer.uid, nix::unistd::geteuid().as_raw());
    call.replies.progress("muted");
    call.replies.progress("released");
    call.replies.finish(Reply::end(Verdict::Done, "parked"));
    let answer = all_text(client).await;
    let lines: Vec<&str> = answer.lines().collect();
    assert_eq!(
        lines,
        [
            r#"{"v":1,"reply":"progress","text":"muted"}"#,
            r#"{"v":1,"reply":"progress","text":"released"}"#,
            r#"{"v":1,"reply":"final","verdict":"done","text":"parked"}"#,
        ]
    );
}

#[tokio::test]
async fn garbage_gets_one_error_that_names_the_problem() {
    let served = served();
    for (bytes, part) in [
        (&b"hello\n"[..], "not JSON"),
        (b"\n", "not JSON"),
        (b"\xff\xfe\n", "not JSON"),
        (b"{\"v\":9,\"request\":\"status\"}\n", "`v` is 9"),
        (
            b"{\"v\":1,\"request\":\"sing\"}\n",
            "unknown variant `sing`",
        ),
        (b"{\"v\":1,\"request\":\"status\"}\nmore", "4 more bytes"),
    ] {
        let text = error_text(served.sending(bytes).await).await;
        assert!(text.contains(part), "{text}");
    }
}

#[tokio::test]
async fn a_megabyte_is_refused_at_the_limit_and_the_answer_still_arrives() {
    let served = served();
    let text = error_text(served.sending(&vec![b'x'; 1024 * 1024]).await).await;
    assert!(text.contains(&REQUEST_BYTES_MAX.to_string()), "{text}");
    let one_too_many = [vec![b' '; REQUEST_BYTES_MAX], b"\n".to_vec()].concat();
    let text = error_text(served.sending(&one_too_many).await).await;
    assert!(text.contains("longer than"), "{text}");
}

#[tokio::test]
async fn a_line_that_just_fits_is_taken() {
    let mut served = served();
    let mut line = vec![b' '; REQUEST_BYTES_MAX - STATUS.len()];
    line.extend_from_slice(STATUS);
    let _client = served.sending(&line).await;
    assert_eq!(served.call().await.request, Request::Explain {});
}

#[tokio::test]
async fn half_a_line_and_a_slow_one_are_told_so() {
    let served = served_with(
        own_rule(),
        Limits {
            request: Duration::from_millis(100),
            ..Limits::default()
        },
    );
    let mut half = served.sending(&DEMOTE[..10]).await;
    half.shutdown().await.unwrap();
    let text = error_text(half).await;
    assert!(
        text.contains("after 10 bytes") && text.contains("newline"),
        "{text}"
    );

    let slow = served.sending(&DEMOTE[..10]).await;
    let text = error_text(slow).await;
    assert!(text.contains("within 100ms"), "{text}");
    let silent = served.connect().await;
    assert!(error_text(silent).await.contains("within 100ms"));
}

#[tokio::test]
async fn drip_feeding_does_not_extend_the_deadline() {
    let served = served_with(
        own_rule(),
        Limits {
            request: Duration::from_millis(200),
            ..Limits::default()
        },
    );
    let (reader, mut writer) = served.connect().await.into_split();
    let dripping = tokio::spawn(async move {
        let mut drips = tokio::time::interval(Duration::from_millis(20));
        loop {
            drips.tick().await;
            if writer.write_all(b" ").await.is_err() {
                return;
            }
        }
    });
    let mut answer = String::new();
    let mut reader = tokio::io::BufReader::new(reader);
    timeout(PATIENCE, reader.read_line(&mut answer))
        .await
        .unwrap()
        .unwrap();
    assert!(answer.contains("within 200ms"), "{answer}");
    dripping.abort();
}

#[tokio::test]
async fn two_hundred_at_once_are_all_served_and_never_more_than_the_limit_together() {
    let mut served = served();
    let mut clients = JoinSet::new();
    for _ in 0..200 {
        let path = served.path.clone();
        clients.spawn(async move {
            let mut stream = UnixStream::connect(path).await.unwrap();
            stream.write_all(STATUS).await.unwrap();
            all_text(stream).await
        });
    }
    let mut held = Vec::new();
    for _ in 0..CONNECTIONS_MAX {
        held.push(served.call().await);
    }
    // All places are taken, so the next call comes only when one is given back.
    let next = timeout(Duration::from_millis(50), served.events.recv()).await;
    assert!(next.is_err(), "{next:?}");
    let mut ids: Vec<RequestId> = Vec::new();
    while ids.len() < 200 {
        let call = match held.pop() {
            Some(call) => call,
            None => served.call().await,
        };
        ids.push(call.id);
        call.replies.finish(Reply::end(Verdict::Done, "ok"));
    }
    while let Some(answer) = clients.join_next().await {
        assert!(answer.unwrap().contains("\"ok\""));
    }
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 200);
}

#[tokio::test]
async fn commands_that_wait_keep_neither_a_question_nor_a_demotion_out() {
    const HANDOVER: &[u8] = b"{\"v\":1,\"request\":\"handover\"}\n";
    const AT_ONCE: &[u8] = b"{\"v\":1,\"request\":\"demote\",\"now\":true}\n";
    let mut served = served();
    let mut waiting = Vec::new();
    for _ in 0..COMMANDS_MAX {
        let client = served.sending(HANDOVER).await;
        waiting.push((client, served.call().await));
    }
    let text = error_text(served.sending(HANDOVER).await).await;
    assert!(text.contains(&COMMANDS_MAX.to_string()), "{text}");
    for line in [STATUS, DEMOTE, AT_ONCE] {
        let client = served.sending(line).await;
        let call = served.call().await;
        call.replies.finish(Reply::end(Verdict::Done, "heard"));
        assert!(all_text(client).await.contains("heard"));
    }
    // One that ends makes room for the next.
    let (client, call) = waiting.remove(0);
    call.replies.finish(Reply::end(Verdict::Done, "passed"));
    assert!(all_text(client).await.contains("passed"));
    let taken = async {
        loop {
            let client = served.sending(HANDOVER).await;
            tokio::select! {
                event = served.events.recv() => break event,
                _ = client.readable() => {}
            }
        }
    };
    let next = timeout(PATIENCE, taken).await.unwrap();
    assert!(matches!(next, Some(Event::Call(_))), "{next:?}");
}

#[tokio::test]
async fn a_client_that_leaves_while_it_waits_is_reported_abandoned() {
    let mut served = served();
    let client = served.sending(DEMOTE).await;
    let call = served.call().await;
    assert!(!call.replies.is_abandoned());
    drop(client);
    match served.event().await {
        Event::Abandoned(id) => assert_eq!(id, call.id),
        other => panic!("{other:?}"),
    }
    assert!(call.replies.is_abandoned());
    call.replies.progress("nobody hears it");
    call.replies.finish(Reply::end(Verdict::Done, "nor that"));
}

#[tokio::test]
async fn a_client_that_closes_only_its_sending_side_still_gets_its_answer() {
    let mut served = served();
    let mut client = served.sending(DEMOTE).await;
    client.shutdown().await.unwrap();
    let call = served.call().await;
    let early = timeout(Duration::from_millis(50), served.events.recv()).await;
    assert!(early.is_err(), "{early:?}");
    call.replies.finish(Reply::end(Verdict::Done, "heard"));
    assert!(all_text(client).await.contains("heard"));
}

#[tokio::test]
async fn a_client_that_closes_first_one_side_and_then_the_other_is_abandoned() {
    let mut served = served();
    let mut client = served.sending(DEMOTE).await;
    client.shutdown().await.unwrap();
    let call = served.call().await;
    drop(client);
    assert!(matches!(served.event().await, Event::Abandoned(id) if id == call.id));
}

#[tokio::test]
async fn a_client_that_does_not_read_loses_its_place_and_blocks_nobody() {
    let mut served = served_with(
        own_rule(),
        Limits {
            write: Duration::from_millis(100),
            ..Limits::default()
        },
    );
    let _deaf = served.sending(DEMOTE).await;
    let call = served.call().await;
    let flood = "x".repeat(100_000);
    let abandoned = loop {
        call.replies.progress(flood.clone());
        match timeout(Duration::from_millis(5), served.events.recv()).await {
            Err(_) => {}
            Ok(event) => break event.unwrap(),
        }
    };
    assert!(matches!(abandoned, Event::Abandoned(id) if id == call.id));
}

#[tokio::test]
async fn the_last_reply_has_its_place_however_many_steps_came_before() {
    let (replies, mut incoming) = Replies::channel();
    for step in 0..1000 {
        replies.progress(step.to_string());
    }
    replies.finish(Reply::end(Verdict::Done, "end"));
    let mut last = None;
    let mut kept = 0;
    while let Some(reply) = incoming.recv().await {
        last = Some(reply);
        kept += 1;
    }
    assert_eq!(
        kept,
        PROGRESS_WAITING_MAX + 1,
        "no client makes the daemon's memory grow"
    );
    assert_eq!(last, Some(Reply::end(Verdict::Done, "end")));
}

#[tokio::test]
async fn a_request_that_the_loop_drops_is_answered_as_dropped() {
    let mut served = served();
    let client = served.sending(DEMOTE).await;
    drop(served.call().await);
    assert!(error_text(client).await.contains("without an answer"));
}

#[tokio::test]
async fn a_client_that_leaves_before_its_line_is_whole_is_no_event() {
    let mut served = served();
    drop(served.sending(&DEMOTE[..10]).await);
    drop(served.connect().await);
    let _client = served.sending(STATUS).await;
    assert_eq!(served.call().await.request, Request::Explain {});
}

#[tokio::test]
async fn nobody_is_served_once_the_loop_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ctl.sock");
    let (listener, _file) = listen_on(&path, None).unwrap().into_tokio().unwrap();
    let (tell, events) = mpsc::channel(1);
    let serving = tokio::spawn(serve(listener, own_rule(), Limits::default(), tell));
    drop(events);
    timeout(PATIENCE, serving).await.unwrap().unwrap();
}

/// Linux keeps credentials by thread, and a connection records those of the thread that connects:
/// one thread of this process can be another user. Without root there is nobody else to be; then
/// the rule itself is asked, as the server asks it.
#[tokio::test]
async fn strangers_are_refused_and_members_of_the_group_served_by_what_the_kernel_says() {
    const STRANGER: u32 = 54_001;
    const OPERATORS: u32 = 54_002;
    let group = Some(Group {
        name: "operators".into(),
        gid: OPERATORS,
    });
    let rule = Rule {
        own_uid: nix::unistd::geteuid().as_raw(),
        group,
    };
    if !nix::unistd::geteuid().is_root() {
        let peer = |gids: &[u32]| Peer {
            uid: STRANGER,
            pid: 1,
            gids: gids.to_vec(),
        };
        assert!(rule.admit(&peer(&[OPERATORS])).is_ok());
        assert!(rule.admit(&peer(&[STRANGER])).is_err());
        return;
    }
    let mut served = served_with(rule, Limits::default());
    for (path, mode) in [
        (served.path.parent().unwrap(), 0o755),
        (&*served.path, 0o666),
    ] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }
    let socket = served.path.clone();
    let as_stranger = |groups: Vec<u32>, gid: u32| {
        let path = socket.clone();
        tokio::task::spawn_blocking(move || {
            std::thread::spawn(move || ask_as(STRANGER, gid, &groups, &path))
                .join()
                .unwrap()
        })
    };
    let refused = timeout(PATIENCE, as_stranger(vec![1, 2], STRANGER))
        .await
        .unwrap()
        .unwrap();
    assert!(
        refused.contains("uid 54001") && refused.contains("`operators`"),
        "{refused}"
    );
    let many: Vec<u32> = (60_000..60_100).chain([OPERATORS]).collect();
    for (groups, gid) in [(many, STRANGER), (vec![], OPERATORS)] {
        let answer = as_stranger(groups, gid);
        let call = served.call().await;
        assert_eq!(call.peer.uid, STRANGER);
        call.replies.finish(Reply::end(Verdict::Done, "welcome"));
        assert!(
            timeout(PATIENCE, answer)
                .await
                .unwrap()
                .unwrap()
                .contains("welcome")
        );
    }
}

/// Becomes somebody else on this thread, for good, and sends one request.
fn ask_as(uid: u32, gid: u32, groups: &[u32], path: &std::path::Path) -> String {
    let become_other = |number: libc::c_long, args: [libc::c_long; 3]| {
        // SAFETY: the calls are setgroups, setresgid and setresuid by their bare numbers, which act
        // on this thread alone; the only pointer among the arguments is to `groups`, which lives.
        let answer = unsafe { libc::syscall(number, args[0], args[1], args[2]) };
        assert_eq!(answer, 0, "{}", std::io::Error::last_os_error());
    };
    let (uid, gid) = (libc::c_long::from(uid), libc::c_long::from(gid));
    become_other(
        libc::SYS_setgroups,
        [
            groups.len() as libc::c_long,
            groups.as_ptr() as libc::c_long,
            0,
        ],
    );
    become_other(libc::SYS_setresgid, [gid; 3]);
    become_other(libc::SYS_setresuid, [uid; 3]);
    let mut stream = std::os::unix::net::UnixStream::connect(path).unwrap();
    // A refusal may come before the request is read.
    let _ = stream.write_all(DEMOTE);
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer).unwrap();
    answer
}
