"""Make this virtual environment import the package, and run its command, from the source tree.

What `pip install -e .` does, without building the extension a second time: `make build` has just built it.
"""

import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

site = Path(sysconfig.get_paths()["purelib"])
(site / "backstay-source.pth").write_text(f"{ROOT / 'python'}\n")

command = Path(sysconfig.get_paths()["scripts"]) / "backstay"
command.write_text(f"#!{sys.executable}\nimport sys\n\nfrom backstay.cli import main\n\nsys.exit(main())\n")
command.chmod(0o755)
