"""Dice in the notation of games: `3d6+2` is three six-sided dice and two."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass

_NOTATION = re.compile(r"\s*(\d*)\s*[dD]\s*(\d+)\s*(?:([+-])\s*(\d+))?\s*")
_MAX_DICE = 100
_MAX_SIDES = 1_000


@dataclass(frozen=True)
class Dice:
    """Equal dice and a constant that is added to their sum."""

    count: int
    sides: int
    plus: int = 0

    @classmethod
    def read(cls, notation: str) -> Dice:
        """Read `3d6+2`; a `ValueError` says what is wrong."""
        match = _NOTATION.fullmatch(notation)
        if match is None:
            raise ValueError(f"{notation!r} is not dice: write them as 2d6 or d20+3")
        count, sides = int(match[1] or 1), int(match[2])
        if not 1 <= count <= _MAX_DICE or not 2 <= sides <= _MAX_SIDES:
            raise ValueError(f"throw 1 to {_MAX_DICE} dice of 2 to {_MAX_SIDES} sides")
        return cls(count, sides, int(f"{match[3] or '+'}{match[4] or 0}"))

    def throw(self) -> list[int]:
        """What each of the dice shows."""
        return [secrets.randbelow(self.sides) + 1 for _ in range(self.count)]

    def at_least(self, total: int) -> float:
        """The chance that the sum, with the constant, reaches `total`."""
        ways = [1]  # ways[i]: in how many ways the dice so far show i more than the least they can
        for _ in range(self.count):
            sums, window = [], 0
            for i in range(len(ways) + self.sides - 1):
                window += ways[i] if i < len(ways) else 0
                window -= ways[i - self.sides] if i >= self.sides else 0
                sums.append(window)
            ways = sums
        needed = max(0, total - self.plus - self.count)
        return sum(ways[needed:]) / self.sides**self.count
