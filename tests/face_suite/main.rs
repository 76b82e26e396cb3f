//! The HTTP face from outside: a whole service in this process, over real connections.

mod beats;
mod canary;
mod events;
mod presets;
mod world;
