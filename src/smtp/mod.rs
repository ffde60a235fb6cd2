//! Both sides of the SMTP talk without sockets: what the tester sends and how it reads the answers,
//! and what the collector answers. Bytes in, values out.

pub mod catalogue;
pub mod control;
pub mod lint;
pub mod message;
pub mod relay_test;
pub mod reply;
pub mod session;
pub mod token;

pub use catalogue::{Catalogue, Envelope, Names, Test};
pub use token::{Tokens, Way};
