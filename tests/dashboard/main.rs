//! The dashboard as its users have it: a real service with simulated ticketing systems, in a real
//! Chromium. Every page, and every act. Pictures are kept below `target/tmp/dashboard`.

mod access;
mod acts;
mod browser;
mod figures;
mod form;
mod lanes;
mod others;
mod pages;
mod parked;
mod sync;
mod world;
