"""`python -m backstay.cli` is `backstay`."""

from backstay.cli import main

main()
