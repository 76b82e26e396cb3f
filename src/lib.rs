//! Ticketgate's edges: the adapters of the ports, the faces and the wiring.

pub mod stores;
