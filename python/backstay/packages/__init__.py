"""From a package source to something that starts.

`resolve_and_install` takes a service and gives the program to run: pinned in the stack's `backstay.lock`,
installed once per user in the cache, ready without network the next time. `diagnose` reads the last words
of a server that died and names the cure.
"""

from backstay.errors import PackageError
from backstay.packages.diagnose import Diagnosis, diagnose, diagnose_stdout
from backstay.packages.install import resolve_and_install
from backstay.packages.launch import Launch, LockedPackage
from backstay.packages.lock import Lockfile
from backstay.packages.request import Request
from backstay.packages.settings import inherited
from backstay.packages.store import cache_dir

__all__ = [
    "Diagnosis",
    "Launch",
    "LockedPackage",
    "Lockfile",
    "PackageError",
    "Request",
    "cache_dir",
    "diagnose",
    "diagnose_stdout",
    "inherited",
    "resolve_and_install",
]
