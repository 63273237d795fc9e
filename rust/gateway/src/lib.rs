//! The endpoint in front of every server: client sessions, routing, policy.
