"""One call for every server of the example fleet that can answer without a network.

`(tool, arguments, text that the answer holds)` by service. `grafana` and `kubernetes` are listed
but not called: what they look at is not there.
"""

from __future__ import annotations

from typing import Any

CALLS: dict[str, tuple[str, dict[str, Any], str]] = {
    "files": ("list_directory", {"path": "data"}, "welcome.md"),
    "memory": ("read_graph", {}, "entities"),
    "thinking": (
        "sequentialthinking",
        {"thought": "One", "nextThoughtNeeded": False, "thoughtNumber": 1, "totalThoughts": 1},
        "thoughtNumber",
    ),
    "everything": ("echo", {"message": "hello"}, "hello"),
    "time": ("get_current_time", {"timezone": "UTC"}, "UTC"),
    "git": ("git_log", {"repo_path": ".backstay/repository"}, "Begin"),
    "sqlite": ("list_tables", {}, ""),
    "duckdb": ("execute_query", {"sql": "select 6 * 7 as answer"}, "42"),
    "chroma": ("chroma_list_collections", {}, ""),
    "markdown": ("convert_to_markdown", {"uri": "data:text/html,<h1>Title</h1>"}, "Title"),
}

DATABASE_CALLS: dict[str, tuple[str, dict[str, Any], str]] = {
    "redis-tools": ("dbsize", {}, "0"),
    "postgres-tools": ("query", {"sql": "select 6 * 7 as answer"}, "42"),
}
