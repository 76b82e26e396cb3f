//! The offload on a real disk (rules C1–C3): what stands in the files and in the table, whatever
//! happens between two of its steps.

mod crashes;
mod files;
mod world;
