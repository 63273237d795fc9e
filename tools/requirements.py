"""Print what the package needs at run time, one requirement a line, as pyproject.toml declares it."""

import tomllib
from pathlib import Path

project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())["project"]
print("\n".join(project["dependencies"]))
