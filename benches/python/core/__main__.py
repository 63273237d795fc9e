"""What the Rust structures cost from Python, beside what one would otherwise take.

    python benches/python/core [--json FILE] [GROUP ...]

A group is a file of this folder. Built with `make build PROFILE=release`.
"""

from __future__ import annotations

import argparse
import platform
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

from compare import report

GROUPS = sorted(
    file.stem for file in Path(__file__).parent.glob("*.py") if file.stem not in ("__main__", "compare")
)
PEERS = ("cachebox", "cachetools", "lru-dict", "moka-py", "prometheus-client", "rustworkx", "networkx")


def main() -> None:
    """Run the groups named on the command line, or all."""
    parser = argparse.ArgumentParser(description="What the Rust structures cost from Python.")
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=", ".join(GROUPS))
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    options = parser.parse_args()
    if unknown := set(options.groups) - set(GROUPS):
        parser.error(f"no group {', '.join(sorted(unknown))}; there are {', '.join(GROUPS)}")
    peers = ", ".join(f"{name} {version(name)}" for name in PEERS)
    print(f"{platform.python_implementation()} {platform.python_version()}, {platform.machine()}; {peers}")
    for group in options.groups or GROUPS:
        import_module(group).run()
    if options.json:
        report(options.json)


if __name__ == "__main__":
    main()
