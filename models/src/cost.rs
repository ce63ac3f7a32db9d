//! Predicted work and memory.
