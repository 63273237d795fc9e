"""The dependency graph: what to start first, what a change touches, who waits for whom in a circle.

The graph is kept in Rust (`rust/graph`); `Graph` is the Rust class itself.
"""

from __future__ import annotations

from backstay._core import Graph

__all__ = ["Graph"]
