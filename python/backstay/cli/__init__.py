"""The command line: `backstay VERB`. One file a verb, imported when it is called.

`root` holds the command group, `verbs` names the verbs, `report` turns errors into words. What a
verb does is elsewhere: in `backstay.fleet`, `backstay.config` or behind the control API.
"""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and exit: 0 done, 1 the fleet is not as asked, 2 the input is wrong."""
    try:
        from backstay.cli.root import root

        root.main(prog_name="backstay")
    except KeyboardInterrupt:
        sys.exit(130)
