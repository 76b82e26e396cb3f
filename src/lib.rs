pub mod amqp;
pub mod inproc;
pub mod wire;
pub mod words;
