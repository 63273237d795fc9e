"""What a check of a whole stack sees and where it reports to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from backstay.config.machine import Machine
    from backstay.config.models.stack import Stack
    from backstay.config.problems import Path, Problems
    from backstay.config.tree import Tree


@dataclass(frozen=True, slots=True)
class Context:
    """A resolved stack and the files it came from.

    `declared` names every service of the files, also those that are disabled or too wrong for the stack.
    """

    stack: Stack
    declared: frozenset[str]
    tree: Tree
    problems: Problems
    machine: Machine
    variables: Mapping[str, str]
    top_is_valid: bool

    def has(self, path: Path) -> bool:
        """Whether a key is written in the files."""
        return self.tree.node(path) is not None

    def report(self, message: str, *paths: Path, hint: str = "") -> None:
        """Note an error at the places of these keys."""
        places = [self.tree.place(path) for path in paths]
        written = [place for place in places if place.path] or places
        self.problems.add(message, *dict.fromkeys(written), hint=hint)
