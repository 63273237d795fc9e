"""Talks to a running fleet: HTTP over its unix sockets, with the standard library only.

`wire` knows HTTP/1.1 and does no input or output; `blocking` and `aio` move its bytes, for
the command line and for `backstay.Fleet`; `mcp` is the small MCP client on top of `aio`.
The other half is `backstay.api` (control) and `rust/gateway` (MCP).

Nothing here is imported before it is used: `backstay ps` must answer at once.
"""
