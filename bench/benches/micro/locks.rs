//! The lock table, where all clients but one are taken.

use crate::committed::at_most;
use crate::heap::settled;
use gungraun::{library_benchmark, library_benchmark_group};
use std::hint::black_box;
use std::time::Duration;
use ticketgate_actors::logic::locks::{Holder, Locks, Outcome, Wish};
use ticketgate_actors::model::{BackendId, Fence, Mono};
use uuid::Uuid;

const CLIENTS: usize = 32;
const BACKENDS: usize = 8;
const NOW: Mono = Mono(500_000);
/// Everybody still waits.
const ALL: fn(Uuid) -> bool = |_| true;

/// A flow of one of the backends in turn.
fn wish(n: usize) -> Wish {
    Wish {
        guid: Uuid::from_u128(n as u128),
        holder: Holder::Flow(BackendId::new(&format!("b{}", n % BACKENDS))),
        timeout: Duration::from_secs(60),
        wait_until: NOW.plus(Duration::from_secs(60)),
    }
}

fn one_is_free() -> (Locks, Wish) {
    let mut locks = Locks::new(CLIENTS, BACKENDS);
    locks.refill(Fence(1), NOW, &ALL);
    for n in 1..CLIENTS {
        let outcomes = locks.acquire(wish(n), NOW, &ALL);
        assert!(matches!(outcomes[..], [Outcome::Granted(_)]), "{outcomes:?}");
    }
    settled((locks, wish(CLIENTS)))
}

#[library_benchmark]
#[bench::of_the_last_client(args = (), setup = one_is_free, config = at_most("lock_and_release"))]
fn acquire_and_release((mut locks, wish): (Locks, Wish)) -> (Locks, [Vec<Outcome>; 2]) {
    let guid = wish.guid;
    let granted = locks.acquire(black_box(wish), NOW, &ALL);
    let released = locks.release(black_box(guid), NOW, &ALL);
    (locks, [granted, released])
}

library_benchmark_group!(name = lock_table, benchmarks = [acquire_and_release]);
