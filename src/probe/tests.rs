//! Both rounds against RPC nodes on loopback.

use std::time::Instant;

use testkit::chain::{Chain, ChainSpec};
use testkit::lone_rpc::{LoneRpc, Says};

use super::cluster::Doubt;
use super::validator::Profile;
use super::*;

const OURS: &str = "GH7ome3EiwEr7tu9JuTh2dpYWBJK3z69Xm1ZE3MEE6JC";
const ANOTHER: &str = "4uhcVJyU9pJkvQyS88uRDiswHXSCkY3zQawwpjk2NsNY";
const WITHIN: Duration = Duration::from_secs(1);

fn rpc(says: Says) -> LoneRpc {
    LoneRpc::start(OURS, says).expect("an RPC")
}

fn subject(own: &str, cluster: &[&LoneRpc]) -> (Prober, Cluster) {
    probers(&Subject {
        own: own.to_owned(),
        cluster: cluster.iter().map(|rpc| rpc.url().to_owned()).collect(),
        vote_account: None,
        identity: OURS.to_owned(),
        within: WITHIN,
    })
}

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(work)
}

#[test]
fn an_rpc_that_puts_us_off_costs_its_own_answer_and_no_more_than_the_limit() {
    let own = rpc(Says::Slot(1_040));
    let others = [
        rpc(Says::NotNow { retry_after_s: 20 }),
        rpc(Says::Slot(1_041)),
    ];
    let (prober, mut cluster) = subject(own.url(), &others.each_ref());
    run(async {
        let began = Instant::now();
        let survey = cluster.ask().await;
        assert!(began.elapsed() < 5 * WITHIN, "{:?}", began.elapsed());
        assert_eq!((survey.asked, survey.failed), (2, 1));
        let facts = prober.ask().await.expect("an answer");
        assert_eq!(
            (facts.slot, facts.healthy, facts.behind),
            (1_040, true, Some(1))
        );
    });
}

#[test]
fn the_validator_itself_is_bounded_too_and_named_with_what_is_wrong() {
    let own = rpc(Says::NotNow { retry_after_s: 20 });
    let (prober, _) = subject(own.url(), &[]);
    let silence = run(prober.ask()).expect_err("no answer");
    assert_eq!(
        silence.to_string(),
        format!("{}: no answer within 1000 ms", own.url())
    );
    let (prober, _) = subject("http://user:secret@127.0.0.1:9/?api-key=secret", &[]);
    let silence = run(prober.ask()).expect_err("no answer").to_string();
    assert!(
        silence.contains("127.0.0.1:9") && silence.contains("refused"),
        "{silence}"
    );
    assert!(!silence.contains("secret"), "{silence}");
}

#[test]
fn one_rpc_with_a_bogus_slot_moves_nothing_and_is_named() {
    let own = rpc(Says::Slot(1_040));
    let bogus = rpc(Says::Slot(400_000_000));
    let honest = [rpc(Says::Slot(1_041)), rpc(Says::Slot(1_042))];
    for others in [
        vec![&bogus],
        vec![&bogus, &honest[0]],
        vec![&honest[0], &bogus, &honest[1]],
    ] {
        let (prober, mut cluster) = subject(own.url(), &others);
        run(async {
            prober.ask().await.expect("an answer");
            let survey = cluster.ask().await;
            let named: Vec<_> = survey.doubts.into_iter().collect();
            let [(url, Doubt::FarOff { slot, .. })] = &named[..] else {
                panic!("{named:?}");
            };
            assert_eq!((url.as_str(), *slot), (bogus.url(), 400_000_000));
            let facts = prober.ask().await.expect("an answer");
            assert!(facts.behind <= Some(2), "{facts:?}");
        });
    }
}

#[test]
fn a_validator_that_is_behind_is_found_behind() {
    let own = rpc(Says::Slot(1_040));
    let others = [rpc(Says::Slot(1_341)), rpc(Says::Slot(1_340))];
    let (prober, mut cluster) = subject(own.url(), &others.each_ref());
    run(async {
        assert_eq!(cluster.ask().await.doubts.len(), 0);
        assert_eq!(prober.ask().await.map(|facts| facts.behind), Ok(Some(300)));
    });
}

#[test]
fn an_rpc_of_another_cluster_does_not_count_and_is_named() {
    let own = rpc(Says::Slot(1_040));
    let stranger = LoneRpc::start(ANOTHER, Says::Slot(1_900)).expect("an RPC");
    let (prober, mut cluster) = subject(own.url(), &[&stranger]);
    run(async {
        prober.ask().await.expect("an answer");
        let survey = cluster.ask().await;
        assert_eq!((survey.asked, survey.failed), (0, 0));
        let doubt = survey
            .doubts
            .get(stranger.url())
            .expect("a doubt")
            .to_string();
        assert!(doubt.contains(OURS) && doubt.contains(ANOTHER), "{doubt}");
        assert_eq!(prober.ask().await.map(|facts| facts.behind), Ok(Some(0)));
    });
}

#[test]
fn who_goes_on_while_the_validator_stands_is_told() {
    let own = rpc(Says::Slot(10));
    let others = [rpc(Says::Slot(10)), rpc(Says::Slot(10))];
    let (prober, mut cluster) = subject(own.url(), &others.each_ref());
    run(async {
        assert_eq!(cluster.ask().await.own_advancing, None, "not asked yet");
        prober.ask().await.expect("an answer");
        assert_eq!(cluster.ask().await.own_advancing, Some(true));
        others[0].say(Says::Slot(11));
        others[1].say(Says::Silence);
        prober.ask().await.expect("an answer");
        let survey = cluster.ask().await;
        assert_eq!(survey.own_advancing, Some(false));
        assert_eq!((survey.asked, survey.advancing, survey.failed), (2, 1, 1));
    });
}

#[test]
fn the_schedule_reaches_into_the_next_epoch_and_what_lies_behind_is_unknown() {
    const EPOCH: u64 = 100;
    let spec = ChainSpec::new(60_000).slots_in_epoch(EPOCH);
    let chain = Chain::start(spec).expect("a chain");
    let now = chain.slot();
    let (this, next) = (now - now % EPOCH, now - now % EPOCH + EPOCH);
    chain.set_leader_slots(OURS, [this, next + 3, next + EPOCH + 1]);
    let (prober, _) = subject(&chain.rpc_url(), &[]);
    run(async {
        let profile = prober.profile(now).await;
        let schedule = profile.schedule.clone().expect("a schedule");
        let led: Vec<u64> = [this, next + 3]
            .into_iter()
            .filter(|slot| *slot >= now)
            .collect();
        assert_eq!((schedule.slots, schedule.until), (led, next + EPOCH));
        assert_eq!(profile.next_leader_slot(next), Some(next + 3));
        assert_eq!(profile.next_leader_slot(next + 4), None);
        assert!(profile.knows_ahead(next + 4, 64) && !profile.knows_ahead(next + 40, 64));
        assert!(!Profile::default().knows_ahead(0, 0));
    });
}
