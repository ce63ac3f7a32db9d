//! The operator against its definition.

mod golden;
