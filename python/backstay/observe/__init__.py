"""What a fleet shows of itself: its metrics in other programs' registries, and its processes' use."""

from __future__ import annotations
