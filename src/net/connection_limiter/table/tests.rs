use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{shedding::WRITE_TIMEOUT_UNDER_LOAD, *};

type Table = ConnectionTable<()>;

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn v4(a: u8, b: u8, c: u8, d: u8) -> IpAddr {
    [a, b, c, d].into()
}

/// The first address of a /64, by the number of its /48 and of the /64 in it.
fn v6(net: u128, subnet: u128) -> IpAddr {
    IpAddr::V6(((0x2001_0db8_u128 << 96) | (net << 80) | (subnet << 64) | 1).into())
}

fn table() -> Table {
    Table::new(2048, 64, &Shares::default())
}

/// Opens a connection that has sent a query and got its answer.
fn idle(t: &mut Table, addr: IpAddr, now: Duration) -> Option<ConnectionId> {
    let (id, _) = t.admit(addr, ClientKind::Ordinary, now, ())?;
    let answer = t.begin_answer(id, now)?;
    t.end_answer(id, answer, now);
    Some(id)
}

#[test]
fn limits_are_shares_of_the_total() {
    let limits = |total: usize| {
        let l = Table::new(total, 64, &Shares::default()).limits(Pool::General);
        (l.per_prefix, l.total)
    };
    assert_eq!(limits(2048), ([64, 256, 512], 1920));
    assert_eq!(
        limits(1024),
        ([64, 128, 256], 960),
        "half of the network's share is not less than 64"
    );
    assert_eq!(limits(8192), ([256, 1024, 2048], 7680));
    assert_eq!(
        limits(64),
        ([4, 8, 16], 60),
        "at most half of the network's share"
    );
    assert_eq!(limits(1), ([1, 1, 1], 1));
    assert_eq!(table().limits(Pool::Reserved).total, 128);
    assert_eq!(
        Table::new(1024, 0, &Shares::default())
            .limits(Pool::General)
            .total,
        1024,
        "nothing is reserved without transfers"
    );
}

/// Once, 33 /64 of a /58, or 40 addresses of a /24, could take all 2,048 slots.
#[test]
fn few_networks_cannot_take_all_slots() {
    for addr in [
        |i: usize| v6(7, (i % 33) as u128),
        |i: usize| v4(198, 51, 100, (i % 40) as u8),
    ] {
        let mut t = table();
        for i in 0..40 * 64 {
            idle(&mut t, addr(i), ms(i as u64));
        }
        assert_eq!(t.len(Pool::General), 256);
        let s = t.stats();
        assert_eq!(
            (s.shed, s.refused),
            (0, 0),
            "no other connection is closed for them"
        );
        assert!(s.shed_of_share > 0);
    }
}

#[test]
fn full_share_closes_a_connection_of_that_share_only() {
    let mut t = table();
    let other = idle(&mut t, v4(203, 0, 113, 1), ms(0)).unwrap();
    let mut own = Vec::new();
    for i in 0..64 {
        own.push(idle(&mut t, v4(192, 0, 2, 1), ms(1000 + i)).unwrap());
    }
    let next = idle(&mut t, v4(192, 0, 2, 1), ms(5000)).unwrap();
    assert_eq!(
        t.state(own[0]),
        None,
        "the longest idle connection of the same address is closed"
    );
    assert!(t.state(other).is_some() && t.state(next).is_some() && t.state(own[1]).is_some());
}

/// The order: connections without a whole request, then the longest idle, then those whose client
/// does not read its answers; but connections of an address with many go before all others.
#[test]
fn connections_are_shed_in_order_of_rank() {
    let mut t = Table::new(
        8,
        0,
        &Shares {
            address: 1,
            network: 1,
            wide_network: 1,
            reserved: 16,
        },
    );
    let open = |t: &mut Table, n: u8, now| {
        t.admit(v4(10, n, 0, 1), ClientKind::Ordinary, ms(now), ())
            .unwrap()
            .0
    };
    let waits = open(&mut t, 1, 500);
    let waits_longer = idle(&mut t, v4(10, 2, 0, 1), ms(0)).unwrap();
    t.await_request(waits_longer, ms(400));
    t.await_request(waits_longer, ms(2000));
    let idle_long = idle(&mut t, v4(10, 3, 0, 1), ms(0)).unwrap();
    let idle_short = idle(&mut t, v4(10, 4, 0, 1), ms(900)).unwrap();
    let answers = open(&mut t, 5, 0);
    t.begin_answer(answers, ms(5500));
    let stalled = [open(&mut t, 6, 0), open(&mut t, 6, 0)];
    stalled
        .iter()
        .zip([1000, 1100])
        .for_each(|(id, at)| _ = t.begin_answer(*id, ms(at)));
    let preferred = open(&mut t, 7, 0);
    t.prefer(preferred);
    // From here on each new connection closes another one. The new ones answer at once, and stay.
    let mut order = Vec::new();
    for n in 0..6 {
        let before: Vec<_> = [
            waits,
            waits_longer,
            idle_long,
            idle_short,
            stalled[0],
            stalled[1],
            answers,
            preferred,
        ]
        .into_iter()
        .filter(|c| t.state(*c).is_some())
        .collect();
        let id = open(&mut t, 100 + n, 5600);
        t.begin_answer(id, ms(5600));
        order.extend(before.into_iter().filter(|c| t.state(*c).is_none()));
    }
    assert_eq!(
        order,
        [
            stalled[0],
            waits_longer,
            waits,
            idle_long,
            idle_short,
            stalled[1]
        ]
    );
    // Of the connections that are left, one client has sent a token, and the others are being
    // answered.
    let id = open(&mut t, 200, 5600);
    assert_eq!(
        (t.state(preferred), t.state(answers).is_some()),
        (None, true)
    );
    t.begin_answer(id, ms(5600));
    assert!(
        t.admit(v4(10, 201, 0, 1), ClientKind::Ordinary, ms(5600), ())
            .is_none(),
        "an answer that is read is not cut off"
    );
    assert_eq!(t.stats().refused, 1);
    assert!(
        t.admit(v4(10, 201, 0, 1), ClientKind::Ordinary, ms(6700), ())
            .is_some(),
        "an answer that is not read is cut off"
    );
}

/// Once, 16 addresses that pipelined requests and read slowly could hold all 1,024 slots for ever:
/// each connection had made progress within the last second.
#[test]
fn newcomer_replaces_an_answering_connection_of_a_crowded_address() {
    let mut t = Table::new(1024, 0, &Shares::default());
    let hostile = |i: u64| v4(10, (i % 4) as u8, (i / 4 % 4) as u8, 1);
    while let Some((id, None)) = t.admit(
        hostile(t.len(Pool::General) as u64),
        ClientKind::Ordinary,
        ms(0),
        (),
    ) {
        t.begin_answer(id, ms(0));
    }
    assert_eq!(t.len(Pool::General), 1024);
    let (own, shed) = t
        .admit(v4(203, 0, 113, 1), ClientKind::Ordinary, ms(1), ())
        .unwrap();
    assert!(shed.is_some());
    // The hostile clients reconnect at once and do not get the newcomer's slot, neither while it
    // sends a request nor while it is idle.
    for state in ["new", "answering", "idle"] {
        for i in 0..64 {
            assert!(
                t.admit(hostile(i), ClientKind::Ordinary, ms(900), ())
                    .is_none(),
                "{state}"
            );
        }
        if state == "new" {
            t.begin_answer(own, ms(900)).unwrap();
        } else {
            t.end_answer(own, 1, ms(900));
        }
        assert!(t.state(own).is_some());
    }
}

/// Once, eight /48 with one connection from each /64 could take all slots.
#[test]
fn newcomer_replaces_a_connection_of_a_full_network() {
    let mut t = Table::new(1024, 0, &Shares::default());
    for i in 0..1024u128 {
        let addr = IpAddr::V6(
            (((0x2001_0db8 + i % 4) << 96) | ((i % 8) << 80) | ((i + 1) << 64) | 1).into(),
        );
        let (id, _) = t.admit(addr, ClientKind::Ordinary, ms(0), ()).unwrap();
        t.begin_answer(id, ms(0));
    }
    assert!(
        t.admit(v4(203, 0, 113, 1), ClientKind::Ordinary, ms(1), ())
            .is_some()
    );
}

#[test]
fn progress_of_one_answer_does_not_protect_another() {
    let mut t = table();
    let (id, _) = t
        .admit(v4(10, 0, 0, 1), ClientKind::Ordinary, ms(0), ())
        .unwrap();
    let stuck = t.begin_answer(id, ms(100)).unwrap();
    for at in [600, 1200, 1800] {
        let other = t.begin_answer(id, ms(at)).unwrap();
        t.progress(id, other, ms(at));
        t.end_answer(id, other, ms(at));
        t.end_answer(id, other, ms(at));
        assert_eq!(t.state(id), Some(ConnectionState::Answering(ms(100))));
    }
    let other = t.begin_answer(id, ms(1900)).unwrap();
    t.progress(id, stuck, ms(2000));
    assert_eq!(t.state(id), Some(ConnectionState::Answering(ms(1900))));
    t.end_answer(id, other, ms(2100));
    assert_eq!(t.state(id), Some(ConnectionState::Answering(ms(2000))));
    t.end_answer(id, stuck, ms(2200));
    assert_eq!(t.state(id), Some(ConnectionState::Idle(ms(2200))));
}

/// Once, while 16 addresses had 1,024 idle connections, ten newcomers per second closed every
/// request that took over a second.
#[test]
fn idle_connections_of_crowded_addresses_are_shed_before_a_slow_client() {
    let mut t = Table::new(1024, 0, &Shares::default());
    for i in 0..1024u64 {
        idle(&mut t, v4(10, (i % 4) as u8, (i / 4 % 4) as u8, 1), ms(i)).unwrap();
    }
    let (slow, _) = t
        .admit(v4(203, 0, 113, 1), ClientKind::Ordinary, ms(2000), ())
        .unwrap();
    for i in 0..200u64 {
        idle(&mut t, v4(192, 0, i as u8, 1), ms(2000 + i * 100)).unwrap();
    }
    assert_eq!(
        t.state(slow),
        Some(ConnectionState::BeforeRequest(ms(2000)))
    );
}

#[test]
fn client_without_a_request_is_not_shed_for_busy_networks() {
    // Few networks occupy all slots with one query in 0.4 s each.
    let mut t = Table::new(1024, 0, &Shares::default());
    let mut n = 0;
    while t.len(Pool::General) < 1024 {
        idle(
            &mut t,
            v4(10, (n / 256 % 8) as u8, (n / 64) as u8, (n % 64) as u8),
            ms(n % 400),
        )
        .unwrap();
        n += 1;
    }
    let (mine, _) = t
        .admit(v4(203, 0, 113, 5), ClientKind::Ordinary, ms(400), ())
        .unwrap();
    // More connections open, and are answered, for as long as a handshake takes.
    for i in 0..500u64 {
        idle(
            &mut t,
            v4(10, 20 + (i % 8) as u8, (i % 200) as u8, 1),
            ms(400 + i),
        )
        .unwrap();
    }
    assert_eq!(t.state(mine), Some(ConnectionState::BeforeRequest(ms(400))));
}

#[test]
fn reserved_clients_get_a_slot_when_all_others_are_occupied() {
    let mut t = table();
    // All other connections are being answered, so that none of them is closed.
    let mut all = 0u32;
    loop {
        let addr = v4(10, (all % 251) as u8, (all / 251) as u8, 1);
        let Some((id, _)) = t.admit(addr, ClientKind::Ordinary, ms(0), ()) else {
            break;
        };
        t.begin_answer(id, ms(0));
        all += 1;
    }
    assert_eq!(all, 1920);
    let mirrors: Vec<_> = (0..128)
        .map(|n| {
            t.admit(v4(192, 0, n, 1), ClientKind::Reserved, ms(1), ())
                .unwrap()
                .0
        })
        .collect();
    let answers: Vec<_> = mirrors
        .iter()
        .map(|id| (*id, t.begin_answer(*id, ms(1)).unwrap()))
        .collect();
    assert!(
        t.admit(v4(192, 0, 200, 1), ClientKind::Reserved, ms(1), ())
            .is_none(),
        "answers to reserved clients are not cut off"
    );
    answers
        .iter()
        .for_each(|(id, answer)| t.end_answer(*id, *answer, ms(2)));
    assert!(
        t.admit(v4(192, 0, 200, 1), ClientKind::Reserved, ms(3), ())
            .is_some()
    );
    let mut one = table();
    let answered = (0..2000)
        .filter(|_| {
            one.admit(v4(192, 0, 2, 1), ClientKind::Reserved, ms(0), ())
                .is_some_and(|(id, _)| one.begin_answer(id, ms(0)).is_some())
        })
        .count();
    assert_eq!(
        answered,
        32 + 64,
        "one address gets its share of the reserved slots and its share of the general ones"
    );
}

#[test]
fn transfers_have_slots_of_their_own() {
    let mut t = table();
    let start = |t: &mut Table, addr, client| {
        let (id, _) = t.admit(addr, client, ms(0), ()).unwrap();
        (t.begin_transfer(id), id)
    };
    let mut transfers = Vec::new();
    for n in 0..100u8 {
        let (moved, id) = start(&mut t, v4(10, n, 0, 1), ClientKind::Ordinary);
        if moved {
            transfers.push(id);
        }
    }
    assert_eq!((transfers.len(), t.len(Pool::Transfers)), (60, 60));
    assert!(
        start(&mut t, v4(192, 0, 2, 1), ClientKind::Reserved).0,
        "some are reserved"
    );
    assert_eq!(t.state(transfers[0]), Some(ConnectionState::Transfer));
    // Transfers take no ordinary slot and are never closed for others.
    let open = t.stats().open;
    assert_eq!(open, 40);
    assert!(t.end_transfer(transfers[0], ms(9)).0);
    assert_eq!(t.state(transfers[0]), Some(ConnectionState::Idle(ms(9))));
    assert_eq!((t.stats().open, t.stats().transfers), (open + 1, 60));
    assert!(start(&mut t, v4(10, 99, 0, 9), ClientKind::Ordinary).0);
    let mut one = table();
    let own = (0..20)
        .filter(|_| start(&mut one, v4(192, 0, 2, 1), ClientKind::Ordinary).0)
        .count();
    assert_eq!(own, 4, "the share of one address");
}

#[test]
fn health_check_has_its_own_slot() {
    let mut t = Table::new(
        8,
        0,
        &Shares {
            address: 1,
            network: 1,
            wide_network: 1,
            reserved: 16,
        },
    );
    for n in 0..8 {
        let (id, _) = t
            .admit(v4(10, n, 0, 1), ClientKind::Ordinary, ms(0), ())
            .unwrap();
        t.begin_answer(id, ms(0));
    }
    let (first, shed) = t
        .admit(v4(127, 0, 0, 1), ClientKind::HealthCheck, ms(0), ())
        .unwrap();
    assert!(shed.is_none());
    t.begin_answer(first, ms(0));
    assert!(
        t.admit(v4(127, 0, 0, 1), ClientKind::HealthCheck, ms(0), ())
            .is_some()
    );
    assert_eq!(
        (
            t.state(first),
            t.len(Pool::General),
            t.len(Pool::HealthCheck)
        ),
        (None, 8, 1)
    );
    assert_eq!(
        (t.stats().shed, t.stats().refused),
        (0, 0),
        "a health check does not count as load"
    );
}

#[test]
fn client_of_a_proxy_is_counted_by_its_own_address() {
    let mut t = Table::new(1024, 0, &Shares::default());
    let proxy = v4(10, 0, 0, 1);
    let connect_through_proxy = |t: &mut Table, addr| {
        let (id, _) = t.admit(proxy, ClientKind::Uncounted, ms(0), ()).unwrap();
        (t.reassign(id, addr, ms(0)).0, id)
    };
    for n in 0..200 {
        let (kept, id) = connect_through_proxy(&mut t, v4(192, 0, 2, 1));
        assert_eq!(kept && t.begin_answer(id, ms(0)).is_some(), n < 64, "{n}");
    }
    assert!(
        connect_through_proxy(&mut t, v4(203, 0, 113, 1)).0,
        "another client gets its own share"
    );
    assert_eq!(t.len(Pool::General), 65);
}

/// An action of a client in the properties below.
#[derive(Debug, Clone)]
enum Step {
    Open(IpAddr, bool),
    Begin(usize),
    End(usize),
    Transfer(usize),
    EndTransfer(usize),
    Prefer(usize),
    Close(usize),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let addr = prop_oneof![
        (0u8..3, 0u8..3, 0u8..6).prop_map(|(b, c, d)| v4(10, b, c, d)),
        (0u128..3, 0u128..6).prop_map(|(net, subnet)| v6(net, subnet)),
    ];
    prop_oneof![
        6 => (addr, prop::bool::weighted(0.1)).prop_map(|(a, r)| Step::Open(a, r)),
        3 => (0usize..200).prop_map(Step::Begin),
        3 => (0usize..200).prop_map(Step::End),
        1 => (0usize..200).prop_map(Step::Transfer),
        1 => (0usize..200).prop_map(Step::EndTransfer),
        1 => (0usize..200).prop_map(Step::Prefer),
        2 => (0usize..200).prop_map(Step::Close),
        2 => (0u64..3000).prop_map(Step::Wait),
    ]
}

proptest! {
    /// Whatever clients do: no limit is exceeded, no transfer is closed, no slot is lost, an answer
    /// that is read in time is cut off only for an address with fewer connections, and a client
    /// without a connection is refused only while clients with few connections are being answered.
    #[test]
    fn limits_hold_and_answers_are_cut_off_only_for_less_crowded_addresses(
        steps in proptest::collection::vec(step(), 1..300)
    ) {
        let mut t: ConnectionTable<ConnectionId> = ConnectionTable::new(32, 8, &Shares { address: 8, network: 4, wide_network: 2, reserved: 8 });
        let (mut now, mut all): (u64, Vec<(ConnectionId, IpAddr)>) = (0, Vec::new());
        let pools = [Pool::General, Pool::Reserved, Pool::Transfers, Pool::ReservedTransfers, Pool::HealthCheck];
        for step in steps {
            let before: BTreeMap<ConnectionId, (ConnectionState, usize)> = t
                .connections
                .iter()
                .map(|(id, c)| (*id, (c.state, t.counts[&(c.pool, c.client.prefixes[0])])))
                .collect();
            let counts = |t: &ConnectionTable<ConnectionId>, addr| {
                [Pool::General, Pool::Reserved].map(|p| t.counts.get(&(p, ClientPrefix::of(addr)[0])).copied().unwrap_or(0))
            };
            let pick = |i: usize| all.get(i % all.len().max(1)).map_or(0, |c| c.0);
            let mut closed = None;
            match step {
                Step::Open(addr, reserved) => {
                    let client = if reserved { ClientKind::Reserved } else { ClientKind::Ordinary };
                    let id = all.last().map_or(1, |c| c.0 + 1);
                    let own = counts(&t, addr);
                    let admitted = t.admit(addr, client, ms(now), id);
                    if admitted.is_none() && own == [0, 0] {
                        let busy = before.values().filter(|(s, _)| matches!(s, ConnectionState::Answering(at) if ms(now) - *at < WRITE_TIMEOUT_UNDER_LOAD));
                        // The narrowest share is two connections of an address.
                        prop_assert!(busy.count() >= 2, "{before:?}");
                    }
                    // A refused connection gets no number, so the next one gets the expected
                    // number.
                    if let Some((given, shed)) = admitted {
                        all.push((given, addr));
                        closed = shed.map(|s| (s, own));
                    }
                }
                Step::Begin(i) => _ = t.begin_answer(pick(i), ms(now)),
                Step::End(i) => {
                    let id = pick(i);
                    let answer = t.connections.get(&id).and_then(|c| c.answers.first().copied());
                    t.end_answer(id, answer.map_or(0, |a| a.0), ms(now));
                }
                Step::Transfer(i) => _ = t.begin_transfer(pick(i)),
                Step::EndTransfer(i) => {
                    let own = all.get(i % all.len().max(1)).map_or([0, 0], |c| counts(&t, c.1));
                    closed = t.end_transfer(pick(i), ms(now)).1.map(|s| (s, own));
                }
                Step::Prefer(i) => t.prefer(pick(i)),
                Step::Close(i) => _ = t.remove(pick(i)),
                Step::Wait(n) => now += n,
            }
            if let Some((victim, own)) = closed {
                prop_assert!(t.state(victim).is_none());
                let (state, of_address) = before[&victim];
                match state {
                    ConnectionState::Transfer => prop_assert!(false, "a transfer was closed"),
                    ConnectionState::Answering(at) if ms(now) - at < WRITE_TIMEOUT_UNDER_LOAD => {
                        prop_assert!(own.iter().any(|n| of_address > *n), "{of_address} of {own:?}");
                    }
                    _ => {}
                }
            }
            for pool in pools {
                let limits = t.limits(pool);
                prop_assert!(t.len(pool) <= limits.total);
                let of_pool: Vec<_> = t.connections.values().filter(|c| c.pool == pool).collect();
                prop_assert_eq!(of_pool.len(), t.len(pool));
                for c in &of_pool {
                    for (prefix, most) in c.client.prefixes.iter().zip(limits.per_prefix) {
                        let n = of_pool.iter().filter(|o| o.client.prefixes.contains(prefix)).count();
                        prop_assert!(n <= most);
                        prop_assert_eq!(t.counts.get(&(pool, *prefix)).copied(), Some(n));
                    }
                }
            }
        }
        for (id, _) in &all {
            t.remove(*id);
        }
        prop_assert!(t.connections.is_empty() && t.counts.is_empty() && t.totals == [0; 5]);
    }
    /// Whatever other addresses do: if the total has one slot for each of them and one more, a
    /// client of an unused network gets a slot.
    #[test]
    fn newcomer_of_an_unused_network_is_always_admitted(
        addrs in proptest::collection::vec(hostile_address(), 1..28),
        transfers in 0usize..2,
        steps in proptest::collection::vec((step(), 0usize..200), 1..150),
    ) {
        let mut t = Table::new(32, transfers * 8, &Shares { address: 8, network: 4, wide_network: 2, reserved: 8 });
        let (mut now, mut ids) = (0, Vec::<ConnectionId>::new());
        for (step, i) in steps {
            let pick = |i: usize| ids.get(i % ids.len().max(1)).copied().unwrap_or_default();
            match step {
                // One address opens as many connections as it gets, all in the same state.
                Step::Open(..) => while let Some((id, None)) = t.admit(addrs[i % addrs.len()], ClientKind::Ordinary, ms(now), ()) {
                    ids.push(id);
                    if i % 3 > 0 {
                        t.begin_answer(id, ms(now));
                    }
                },
                Step::Begin(i) => _ = t.begin_answer(pick(i), ms(now)),
                Step::End(i) => t.end_answer(pick(i), 1, ms(now)),
                Step::Transfer(i) => _ = t.begin_transfer(pick(i)),
                Step::EndTransfer(i) => _ = t.end_transfer(pick(i), ms(now)),
                Step::Prefer(i) => t.prefer(pick(i)),
                Step::Close(i) => _ = t.remove(pick(i)),
                Step::Wait(n) => now += n,
            }
            let newcomer = t.admit(v4(203, 0, 113, 1), ClientKind::Ordinary, ms(now), ());
            prop_assert!(newcomer.is_some(), "{:?}", t.connections);
            t.remove(newcomer.unwrap().0);
        }
    }
}

/// An address in one of few networks, or in a network of its own.
fn hostile_address() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        (0u8..30, 0u8..2, 0u8..2).prop_map(|(b, c, d)| v4(10, b, c, d)),
        (0u8..3, 0u8..3, 0u8..6).prop_map(|(b, c, d)| v4(11, b, c, d)),
        (0u128..3, 0u128..60).prop_map(|(net, subnet)| v6(net, subnet)),
    ]
}

impl<T> ConnectionTable<T> {
    /// Where a connection stands; `None` after it was closed.
    pub fn state(&self, id: ConnectionId) -> Option<ConnectionState> {
        self.connections.get(&id).map(|c| c.state)
    }
}
