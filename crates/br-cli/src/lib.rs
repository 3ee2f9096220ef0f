//! The br command.
