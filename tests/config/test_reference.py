"""The reference is generated, and current."""

from __future__ import annotations

from pathlib import Path

from backstay.config.models import StackFile
from backstay.config.reference import FILE, reference
from backstay.config.validation import keys_of, models_of

ROOT = Path(__file__).parents[2]


def test_the_reference_is_current() -> None:
    assert (ROOT / FILE).read_text() == reference(), "run `python -m backstay.config.reference --write`"


def test_the_reference_names_every_key() -> None:
    text = reference()
    for model in models_of(StackFile):
        for key in keys_of(model):
            assert f"| `{key}` |" in text
