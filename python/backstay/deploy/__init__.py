"""Deploys: from what runs to what is wanted.

Decisions are pure functions (`plan`, `decide`, `admission`, `parallelism`) over frozen values (`state`):
they read no clock and touch no process, so that tests drive them by the thousand. `fleet` is the part that
acts: it feeds them events and carries out what they answer.
"""
