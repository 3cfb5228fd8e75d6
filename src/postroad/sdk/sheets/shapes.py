"""The parts of settings that every connector of tables has: how a person declares columns. Imports no Arrow."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    StringConstraints,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from postroad.records import column_name

Kind = Literal["text", "int", "decimal", "date", "datetime", "bool"]
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_]*$", max_length=64)]
Caption = Annotated[str, StringConstraints(min_length=1, max_length=200, strip_whitespace=True)]
COLUMN = r"^[A-Za-z][0-9A-Za-z_À-ɏ]*$"


def _listed(value: object) -> object:
    """One text where a list may stand."""
    return [value] if isinstance(value, str) else value


Texts = Annotated[tuple[str, ...], BeforeValidator(_listed, json_schema_input_type=str | list[str])]


class Shape(BaseModel):
    """A part of the settings; unknown keys are mistakes."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class ColumnSettings(Shape):
    """One column of a table: its type alone, or an object."""

    type: Kind = Field(description="What its cells hold.")
    name: str | None = Field(
        default=None,
        alias="as",
        pattern=COLUMN,
        description="The column's name in the lake, where the caption made safe is not liked.",
    )
    round: int | None = Field(
        default=None,
        ge=0,
        le=9,
        description="Places to which a decimal is rounded; else one with more than nine is refused.",
    )

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: object) -> object:
        return {"type": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _rounded(self) -> Self:
        if self.round is not None and self.type != "decimal":
            raise ValueError("only a decimal can be rounded")
        return self

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        whole = handler.resolve_ref_schema(handler(schema))
        return {"anyOf": [whole["properties"]["type"], whole]}

    def named(self, caption: str) -> str:
        """The column's name in the lake."""
        return self.name or column_name((caption,))


def require_apart(names: list[tuple[str, str]]) -> None:
    """ValueError where two columns (name and caption) would be one: Delta and Spark do not tell `Code` from `code`."""
    for name, caption in names:
        if name.startswith("_"):
            raise ValueError(f"column '{caption}' would be named {name}, which is reserved; name it with `as`")
        twins = [other for found, other in names if found.casefold() == name.casefold()]
        if len(twins) > 1:
            raise ValueError(f"{' and '.join(twins)} would both be the column {name}; name one with `as`")
