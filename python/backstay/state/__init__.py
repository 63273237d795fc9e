"""The fleet's memory: what is wanted, what was accepted, what runs and what happened, in one SQLite file."""

from backstay.state.store import StateError, Store

__all__ = ["StateError", "Store"]
