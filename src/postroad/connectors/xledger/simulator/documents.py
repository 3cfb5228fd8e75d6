"""The documents that are asked: parsed and validated against the schema once, by graphql-core."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    GraphQLError,
    GraphQLObjectType,
    OperationDefinitionNode,
    OperationType,
    ValuesOfCorrectTypeRule,
    VariableNode,
    get_named_type,
    get_operation_ast,
    parse,
    validate,
)
from graphql.execution.values import get_variable_values

from postroad.connectors.xledger.simulator.mistakes import RefusedError
from postroad.connectors.xledger.simulator.schema import Known, schema
from postroad.connectors.xledger.simulator.selection import Selected, Selector
from postroad.connectors.xledger.simulator.tables import CONNECTIONS


@dataclass(frozen=True)
class Operation:
    """One operation that is ready to be answered."""

    document: DocumentNode
    node: OperationDefinitionNode
    name: str | None
    variables: dict[str, Any]  # as they came
    roots: tuple[Selected, ...]


def operation(query: str, name: str | None, variables: dict[str, Any], known: Known) -> Operation:
    """The operation that a request asks for; a RefusedError that says why it cannot be answered."""
    found = valid(query, known)
    if isinstance(found, RefusedError):
        raise RefusedError(
            str(found), found.code, **found.extensions
        )  # a new one: the kept one would grow with each raise
    node = get_operation_ast(found, name)
    if node is None:
        raise RefusedError("The document has no such operation." if name else "The document has several operations.")
    if node.operation is not OperationType.QUERY:
        raise RefusedError("Only queries are supported.")
    coerced = get_variable_values(schema(known), list(node.variable_definitions), variables)
    if isinstance(coerced, list):
        raise _refusal(coerced[0])
    fragments = {part.name.value: part for part in found.definitions if isinstance(part, FragmentDefinitionNode)}
    try:
        roots = Selector(schema(known), fragments, coerced).roots(node)
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


def walked(query: str | None, name: str | None) -> bool:
    """Whether a document walks rows; that it asks for the companies too does not count."""
    return any(root in CONNECTIONS and root != "entities" for root in glance(query, name)[0])


def cursor_variable(query: str, name: str | None) -> str | None:
    """The variable that a document passes as `after` of what it walks."""
    node = get_operation_ast(parse(query), name)
    fields = [part for part in (node.selection_set.selections if node else ()) if isinstance(part, FieldNode)]
    arguments = [each for field in fields if field.name.value in CONNECTIONS for each in field.arguments]
    variables = [each.value for each in arguments if each.name.value == "after"]
    return next((value.name.value for value in variables if isinstance(value, VariableNode)), None)


@cache
def everything(table: str) -> str:
    """A document that asks for every field of a table's rows."""
    fields = _all_fields(CONNECTIONS[table].type)
    return (
        "query ($first: Int, $after: String, $ownerSet: OwnerSet) {"
        f" {table}(first: $first, after: $after, ownerSet: $ownerSet, objectStatus: ALL) {{"
        f" edges {{ cursor node {fields} }} pageInfo {{ hasNextPage }} }} }}"
    )


def _all_fields(name: str, above: tuple[str, ...] = ()) -> str:
    """A selection of all fields; a type within itself, as a group's parent, up to three times."""
    kind = schema(Known()).type_map[name]
    if not isinstance(kind, GraphQLObjectType):
        return ""
    inner = {field: get_named_type(each.type).name for field, each in kind.fields.items()}
    fields = (
        f"{field} {_all_fields(target, (*above, name))}"
        for field, target in inner.items()
        if (*above, name).count(target) <= 3
    )
    return "{ " + " ".join(fields) + " }"


@lru_cache(maxsize=256)
def valid(query: str, known: Known) -> DocumentNode | RefusedError:
    """The parsed document, or why the schema does not allow it."""
    try:
        document = parse(query)
    except GraphQLError as mistake:
        return _refusal(mistake)
    mistakes = validate(schema(known), document)
    if not mistakes:
        return document
    of_type = {str(mistake) for mistake in validate(schema(known), document, [ValuesOfCorrectTypeRule])}
    # The rule's name is the code that the remote system gives for a wrong argument (fact sheet 1.2).
    return _refusal(mistakes[0], "ARGUMENTS_OF_CORRECT_TYPE" if str(mistakes[0]) in of_type else None)


def _refusal(mistake: GraphQLError, code: str | None = None) -> RefusedError:
    """The remote system quotes names with back-ticks (fact sheet 1.2)."""
    return RefusedError(mistake.message.replace("'", "`"), None, **({"code": code} if code else {}))
