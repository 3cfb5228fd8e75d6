"""The schema and the documents asked against it: parsed and validated once, by graphql-core."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any

from graphql import (
    REMOVE,
    DocumentNode,
    FieldDefinitionNode,
    FieldNode,
    FragmentDefinitionNode,
    GraphQLError,
    GraphQLObjectType,
    GraphQLScalarType,
    GraphQLSchema,
    OperationDefinitionNode,
    OperationType,
    ValuesOfCorrectTypeRule,
    VariableNode,
    Visitor,
    build_ast_schema,
    get_named_type,
    get_operation_ast,
    parse,
    validate,
    visit,
)
from graphql.execution.values import get_variable_values

from postroad.connectors.xledger.simulator.mistakes import RefusedError
from postroad.connectors.xledger.simulator.selection import Selected, Selector


class _WithoutCurrent(Visitor):
    def enter_field_definition(self, node: FieldDefinitionNode, *_: Any) -> Any:
        return REMOVE if node.name.value == "_current" else None


@dataclass(frozen=True)
class Operation:
    """One operation that is ready to be answered."""

    document: DocumentNode
    node: OperationDefinitionNode
    name: str | None
    variables: dict[str, Any]  # as they came
    roots: tuple[Selected, ...]


@cache
def schema(current: bool) -> GraphQLSchema:
    """The schema, with or without `_current` on deltas."""
    source = parse(files(__package__).joinpath("schema.graphql").read_text("utf-8"))
    built = build_ast_schema(source if current else visit(source, _WithoutCurrent()))
    for name, parser in {"Int64String": _whole_number, "DateTimeString": _string}.items():
        scalar = built.type_map[name]
        if isinstance(scalar, GraphQLScalarType):
            scalar.parse_value = parser  # type: ignore[method-assign]  # how graphql-core sets it itself
    return built


def operation(query: str, name: str | None, variables: dict[str, Any], current: bool) -> Operation:
    """The operation that a request asks for; a RefusedError that says why it cannot be answered."""
    found = valid(query, current)
    if isinstance(found, RefusedError):
        raise RefusedError(
            str(found), found.code, **found.extensions
        )  # a new one: the kept one would grow with each raise
    node = get_operation_ast(found, name)
    if node is None:
        raise RefusedError("The document has no such operation." if name else "The document has several operations.")
    if node.operation is not OperationType.QUERY:
        raise RefusedError("Only queries are supported.")
    coerced = get_variable_values(schema(current), list(node.variable_definitions), variables)
    if isinstance(coerced, list):
        raise _refusal(coerced[0])
    fragments = {part.name.value: part for part in found.definitions if isinstance(part, FragmentDefinitionNode)}
    try:
        roots = Selector(schema(current), fragments, coerced).roots(node)
    except GraphQLError as mistake:
        raise _refusal(mistake) from mistake
    return Operation(found, node, node.name.value if node.name else None, variables, roots)


@lru_cache(maxsize=256)
def glance(query: str | None, name: str | None) -> tuple[tuple[str, ...], str | None]:
    """The root fields and the name of the operation asked for, valid or not; nothing of a text that cannot be read."""
    try:
        node = get_operation_ast(parse(query or ""), name)
    except GraphQLError:
        return (), name
    if node is None:
        return (), name
    roots = [part.name.value for part in node.selection_set.selections if isinstance(part, FieldNode)]
    return tuple(roots), node.name.value if node.name else None


def cursor_variable(query: str, name: str | None) -> str | None:
    """The variable that a document passes as `after` of its timesheets."""
    node = get_operation_ast(parse(query), name)
    fields = [part for part in (node.selection_set.selections if node else ()) if isinstance(part, FieldNode)]
    arguments = [each for field in fields if field.name.value == "timesheets" for each in field.arguments]
    variables = [each.value for each in arguments if each.name.value == "after"]
    return next((value.name.value for value in variables if isinstance(value, VariableNode)), None)


@cache
def everything() -> str:
    """A document that asks for every field of a timesheet."""
    fields = _all_fields("Timesheet")
    return (
        "query ($first: Int, $after: String, $ownerSet: OwnerSet) {"
        " timesheets(first: $first, after: $after, ownerSet: $ownerSet, objectStatus: ALL) {"
        f" edges {{ cursor node {fields} }} pageInfo {{ hasNextPage }} }} }}"
    )


def _all_fields(name: str) -> str:
    kind = schema(True).type_map[name]
    if not isinstance(kind, GraphQLObjectType):
        return ""
    fields = (f"{field} {_all_fields(get_named_type(each.type).name)}" for field, each in kind.fields.items())
    return "{ " + " ".join(fields) + " }"


@lru_cache(maxsize=256)
def valid(query: str, current: bool) -> DocumentNode | RefusedError:
    """The parsed document, or why the schema does not allow it."""
    try:
        document = parse(query)
    except GraphQLError as mistake:
        return _refusal(mistake)
    mistakes = validate(schema(current), document)
    if not mistakes:
        return document
    of_type = {str(mistake) for mistake in validate(schema(current), document, [ValuesOfCorrectTypeRule])}
    # The rule's name is the code that the remote system gives for a wrong argument (fact sheet 1.2).
    return _refusal(mistakes[0], "ARGUMENTS_OF_CORRECT_TYPE" if str(mistakes[0]) in of_type else None)


def _refusal(mistake: GraphQLError, code: str | None = None) -> RefusedError:
    """The remote system quotes names with back-ticks (fact sheet 1.2)."""
    return RefusedError(mistake.message.replace("'", "`"), None, **({"code": code} if code else {}))


def _whole_number(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str) or not str(value).lstrip("-").isdecimal():
        raise GraphQLError(f"Int64String cannot represent value: {value!r}")
    return int(value)


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise GraphQLError(f"DateTimeString cannot represent value: {value!r}")
    return value
