"""The type of a secret setting: it is looked up at each sign-in and shows itself to nobody."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

MASK = "**********"


class Secret:
    """A secret setting of a connection, as `token: Secret` in a connector's settings.

    Built from a text, or from a resolver that is called at each `reveal`, so that a rotated secret is found without a
    restart. `reference` is what the project file says (`secret://NAME`); it is shown, the value never is. A model
    with a Secret should set `hide_input_in_errors=True`: pydantic's own message would quote what was passed in.
    """

    __slots__ = ("_resolve", "reference")

    def __init__(self, value: str | Callable[[], str], reference: str = "") -> None:
        self._resolve: Callable[[], str] = (lambda: value) if isinstance(value, str) else value
        self.reference = reference

    @classmethod
    def literal(cls, value: str) -> Secret:
        """A secret whose value is at hand."""
        return cls(value)

    def reveal(self) -> str:
        """The value now; ConfigError with the places that were looked in if there is none. Never keep or log it."""
        return self._resolve()

    def __str__(self) -> str:
        return self.reference or MASK

    def __repr__(self) -> str:
        return f"Secret({self})"

    def __eq__(self, other: object) -> bool:
        """Two references are equal by name, two literals by value."""
        if not isinstance(other, Secret):
            return NotImplemented
        if self.reference != other.reference:
            return False
        return bool(self.reference) or self.reveal() == other.reveal()

    def __hash__(self) -> int:
        return hash(self.reference)

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, _memo: dict[int, Any]) -> Secret:
        return self

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is not pickled: pass its reference and look it up there")

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: Any, _handler: GetCoreSchemaHandler) -> CoreSchema:
        shown = core_schema.to_string_ser_schema(when_used="json")
        return core_schema.no_info_plain_validator_function(cls._validated, serialization=shown)

    @classmethod
    def __get_pydantic_json_schema__(cls, _schema: CoreSchema, _handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"type": "string", "minLength": 1, "writeOnly": True, "description": "A secret: secret://NAME"}

    @classmethod
    def _validated(cls, value: object) -> Secret:
        if isinstance(value, Secret):
            return value
        if isinstance(value, str) and value:
            return cls(value)
        raise PydanticCustomError("secret_type", "must be secret://NAME, or a text that is not empty")
