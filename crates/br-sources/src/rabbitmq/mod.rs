//! Definitions of RabbitMQ, by the HTTP API of its management plugin.
//!
//! [`RabbitMqServer::probe`] asks the server what it is. Its only [dump](crate::server::Server::dumps) is `definitions.json`: users, virtual hosts,
//! permissions, policies, parameters, queues, exchanges and bindings, byte for byte as the server sends them. Messages are not in it.
//! [`RabbitMqServer::import`] gives them back. RabbitMQ skips a queue or an exchange that exists with other properties, and says nothing about it. Invariant: an
//! import asks for the definitions again, and returns every [`Difference`].
//!
//! The functions block, and run their own small runtime: they may be called from anywhere.

mod api;
mod differences;
mod examine;
mod options;
mod probe;
#[cfg(test)]
mod tests;

pub use differences::{Difference, Imported};
pub use options::RabbitMqOptions;
pub use probe::RabbitMqServer;
