//! Sans-IO logic: functions, tables and machines. Input and time in, effects out; nothing here
//! reads a clock, spawns, awaits or logs, so that a simulator can drive all of it.

pub mod ahead;
pub mod answers;
pub mod canary;
pub mod correlation;
pub mod desk;
pub mod expression;
pub mod flow;
pub mod history;
pub mod import;
pub mod lane;
pub mod locks;
pub mod occurrence;
pub mod offload;
pub mod outbox;
pub mod policy;
pub mod progress;
pub mod pulse;
pub mod sync;
pub mod topic;
pub mod topology;
pub mod turns;
