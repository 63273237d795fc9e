//! The process that is parent of all instances and holds their pipes and sockets.

fn main() {}
