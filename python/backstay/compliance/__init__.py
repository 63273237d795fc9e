"""Does a server keep to the protocol? What `backstay doctor` does to a server of its own.

The checks that change nothing are Rust's (`rust/mcp/src/compliance`): they run on a fleet's live connection
as well. Here are those that need the raw wire, or a process that may be harmed: sizes, framing, its end. They
run on a throw-away copy, never on an instance of a fleet.
"""
