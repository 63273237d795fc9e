"""The tables of `state.db`, and how an older file becomes one of today."""

from __future__ import annotations

import sqlite3

__all__ = ["VERSION", "migrate"]

VERSION = 1

_TABLES = """
CREATE TABLE IF NOT EXISTS facts (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS services (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS revisions (
  service TEXT NOT NULL, number INTEGER NOT NULL, config TEXT NOT NULL, launch TEXT, at REAL NOT NULL,
  PRIMARY KEY (service, number)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS leases (instance TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS events (seq INTEGER PRIMARY KEY, value TEXT NOT NULL);
"""


def migrate(connection: sqlite3.Connection) -> None:
    """Make the tables where they are missing.

    Raises:
        sqlite3.DatabaseError: the file was written by a later version, or is none of ours.
    """
    found = connection.execute("PRAGMA user_version").fetchone()[0]
    if found > VERSION:
        raise sqlite3.DatabaseError(f"its format is {found}, and this backstay knows formats up to {VERSION}")
    connection.executescript(_TABLES)
    connection.execute(f"PRAGMA user_version = {VERSION}")
