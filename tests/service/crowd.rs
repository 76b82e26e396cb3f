//! Many scripts that want the few ticket clients at once, while alarms come in.

use crate::alarms::{message, raised};
use crate::programs::{Program, Publisher};
use crate::rabbit::Rabbit;
use crate::scripts::scripted;
use crate::verdict;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use ticketgate::simulate::faults::Faults;

const SCRIPTS: usize = 1_000;
/// Each so-and-so-many of them writes while it holds its client.
const EVERY: usize = 20;
const ALARMS: usize = 200;
const CLIENTS: &str = "[clients]\nnumber = 8\n";
/// Scripts get half of them.
const SHARE: usize = 4;

/// A client was held by a script from here to there, in the crowd's own order of events.
#[derive(Debug, Deserialize)]
struct Held {
    client: u64,
    fence: u64,
    from: u64,
    to: u64,
}

/// How many hold a client at the same time, at most.
fn at_once(all: &[Held]) -> usize {
    let mut moments: Vec<_> = all.iter().flat_map(|it| [(it.from, 1), (it.to, -1)]).collect();
    moments.sort_unstable();
    let mut now = 0_isize;
    let most = moments.into_iter().map(|(_, change)| {
        now += change;
        now
    });
    usize::try_from(most.max().unwrap_or(0)).expect("it is not negative")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_scripts_share_eight_clients_and_alarms_still_get_their_tickets() {
    let node = Rabbit::shared().await;
    let world = scripted(node, "crowd", Faults::default(), "", CLIENTS).await;
    world.on_the_broker().await;
    let (scripts, every) = (SCRIPTS.to_string(), EVERY.to_string());
    let args = ["--exchange", "crowd.commands", "--scripts", &scripts, "--connections", "8"];
    let more = ["--wait-ms", "110000", "--every", &every];
    let crowd = Program::start(&world, "crowd.py", &[&args[..], &more].concat());
    let crowded = async || {
        let waiting = world.figure("ticketgate_clients_waiting").await?;
        (waiting > 0.0 || crowd.count() == SCRIPTS).then_some(())
    };
    world.until("scripts stand in line", crowded).await;
    let alarm = |n| message(&format!("m{n}"), "msgpack", raised("probe", &format!("A{n}")));
    Publisher::send(&world, (0..ALARMS).map(alarm).collect()).await;

    let served = async || (crowd.count() == SCRIPTS).then(|| crowd.said());
    let said = world.until("every script was served", served).await;
    world.settled(ALARMS).await;
    let held: Vec<Held> = said
        .iter()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("not served: {line}")))
        .collect();
    assert!(at_once(&held) <= SHARE, "{} scripts held a client at once", at_once(&held));
    let fences: BTreeSet<_> = held.iter().map(|one| one.fence).collect();
    assert_eq!(fences.len(), SCRIPTS, "every grant has a fence of its own");
    let mut clients: BTreeMap<u64, Vec<&Held>> = BTreeMap::new();
    for one in &held {
        clients.entry(one.client).or_default().push(one);
    }
    for (client, mut held) in clients {
        held.sort_by_key(|one| one.from);
        for pair in held.windows(2) {
            assert!(pair[0].to < pair[1].from, "client {client} was held twice: {pair:?}");
            assert!(pair[0].fence < pair[1].fence, "client {client}: {pair:?}");
        }
    }
    let all_made = async || {
        let tickets = world.ledger().report().tickets;
        (tickets == (ALARMS + SCRIPTS / EVERY) as u64).then_some(())
    };
    world.until("every ticket is made", all_made).await;
    verdict::ledger_is_clean(&world);
    verdict::the_broker_is_empty(&world, node).await;
}
