//! One suite for every bus: RabbitMQ and the one inside the process.
//!
//! `cases` holds what both must do. What only a broker can do (keep, go away and come back,
//! refuse) is in `persistent` and `faults`, on private nodes.

mod cases;
mod faults;
mod persistent;
mod shelf;
mod tls;
mod world;

#[path = "../support/rabbit.rs"]
mod rabbit;

use rabbit::Rabbit;
use world::World;

macro_rules! for_both {
    ($($case:ident),* $(,)?) => {
        mod inproc {
            $(
                #[tokio::test]
                async fn $case() {
                    super::cases::$case(&super::World::inproc()).await;
                }
            )*
        }

        /// One node for all cases, each with a prefix of its own.
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn the_broker_passes_every_case() {
            let node = Rabbit::started().await;
            $(
                eprintln!("case {}", stringify!($case));
                let world = World::rabbit(&node, stringify!($case)).await;
                cases::$case(&world).await;
                world.nothing_is_left(&node).await;
            )*
        }
    };
}

for_both!(
    what_is_published_in_reaches_the_inlet_and_is_settled_after_the_commit,
    what_the_store_did_not_take_comes_again,
    many_come_in_and_each_is_taken,
    an_event_reaches_every_subscriber,
    a_binding_hears_only_what_it_names,
    a_message_out_carries_its_headers_and_keeps_its_id,
    messages_are_written_as_json_where_that_is_configured,
    an_event_without_subscriber_is_no_failure,
    a_beat_is_heard_by_monitors_and_comes_back_to_its_node,
);
