"""What all models of the stack file share: frozen, strict about keys, `x-…` ignored."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from pydantic import BaseModel, ConfigDict, ModelWrapValidatorHandler, model_validator
from pydantic_core import PydanticCustomError

Complaint = tuple[str, str, tuple[str | int, ...]]
"""What is wrong, what would be right, and the way to it beneath the value that is refused."""


def refuse(what: str, hint: str = "", at: tuple[str | int, ...] = ()) -> PydanticCustomError:
    """Build the error that a validator raises: what is wrong, what would be right, and where in the value."""
    return refuse_all([(what, hint, at)])


def refuse_all(complaints: list[Complaint]) -> PydanticCustomError:
    """Build one error out of several complaints about the same value."""
    return PydanticCustomError("stack", "{what}", {"what": complaints[0][0], "complaints": complaints})


@contextmanager
def gathered() -> Iterator[Callable[[str | int], AbstractContextManager[None]]]:
    """Let every item of a collection complain, and refuse the whole at the end.

    The block gets a function that opens a block for one item, named by its key.
    """
    complaints: list[Complaint] = []

    @contextmanager
    def item(key: str | int) -> Iterator[None]:
        try:
            yield
        except PydanticCustomError as error:
            context = error.context or {}
            complaints.extend((what, hint, (key, *at)) for what, hint, at in context["complaints"])

    yield item
    if complaints:
        raise refuse_all(complaints)


def kind_of(value: object) -> str:
    """Name a value's type in the words of a YAML file."""
    match value:
        case None:
            return "nothing"
        case bool():
            return f"`{str(value).lower()}`"
        case int() | float():
            return f"the number {spelling(value)}"
        case str():
            return f"the text {quoted(value)}"
        case Mapping():
            return "a map"
        case list() | tuple():
            return "a list"
    return type(value).__name__


def quoted(text: str) -> str:
    """Quote a text for a message, shortened where it is long."""
    return f"`{text if len(text) <= 60 else text[:57] + '…'}`"


def spelling(value: object) -> str:
    """Return a scalar as the file spells it: `1.10` stays `1.10`."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(getattr(value, "spelling", value))


class Model(BaseModel):
    """A part of the stack file. Frozen: a changed stack is another stack."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        populate_by_name=True,
        serialize_by_alias=True,
        use_attribute_docstrings=True,
    )

    @model_validator(mode="wrap")
    @classmethod
    def _from_map(cls, value: Any, handler: ModelWrapValidatorHandler[Any]) -> Any:
        """Drop `x-…` keys and say in our words that a map was expected."""
        value = cls.from_short(value)
        if isinstance(value, cls):
            return handler(value)
        if not isinstance(value, Mapping):
            raise refuse(f"expected a map, got {kind_of(value)}", cls.example())
        return handler({key: item for key, item in value.items() if not str(key).startswith("x-")})

    @classmethod
    def from_short(cls, value: Any) -> Any:
        """Turn the short form of this part, if it has one, into the map it stands for."""
        return value

    @classmethod
    def short_schema(cls) -> list[dict[str, Any]]:
        """Return the JSON Schemas of the short forms."""
        return []

    @classmethod
    def example(cls) -> str:
        """Return the hint for a value that is not even a map."""
        return ""
