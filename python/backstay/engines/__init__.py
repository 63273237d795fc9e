"""Engines: where instances run.

One interface (`base`), one contract test suite (`tests/engines`): `local` runs processes through the keeper,
`simulated` runs nothing, in virtual time.
"""
