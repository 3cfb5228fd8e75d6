"""What a validated operation selects, as a small tree; merging, fragments and directives are graphql-core's own."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from graphql import (
    FieldNode,
    FragmentDefinitionNode,
    GraphQLObjectType,
    GraphQLSchema,
    OperationDefinitionNode,
    get_named_type,
)
from graphql.execution.collect_fields import collect_fields, collect_sub_fields
from graphql.execution.values import get_argument_values


@dataclass(frozen=True)
class Selected:
    """One response key: the field behind it, its arguments, and what is selected of the object that it yields."""

    key: str
    name: str
    arguments: dict[str, Any]
    nodes: tuple[FieldNode, ...]
    kind: str = ""
    fields: tuple[Selected, ...] = ()

    @cached_property
    def shape(self) -> object:
        """Equal for selections that render the same object alike."""
        return self.kind, tuple((field.key, field.name, field.shape) for field in self.fields)


@dataclass(frozen=True)
class Selector:
    """Reads selections of one operation with its variables."""

    schema: GraphQLSchema
    fragments: dict[str, FragmentDefinitionNode]
    variables: dict[str, Any]

    def roots(self, operation: OperationDefinitionNode) -> tuple[Selected, ...]:
        """The root fields in the order of the response."""
        root = self.schema.query_type
        if root is None:
            raise ValueError("the schema has no query type")
        groups = collect_fields(self.schema, self.fragments, self.variables, root, operation.selection_set)
        return self._selected(root, groups)

    def _selected(self, parent: GraphQLObjectType, groups: dict[str, list[FieldNode]]) -> tuple[Selected, ...]:
        return tuple(self._field(parent, key, nodes) for key, nodes in groups.items())

    def _field(self, parent: GraphQLObjectType, key: str, nodes: list[FieldNode]) -> Selected:
        name = nodes[0].name.value
        definition = parent.fields.get(name)
        if definition is None:  # __typename, __schema or __type
            return Selected(key, name, {}, tuple(nodes))
        arguments = get_argument_values(definition, nodes[0], self.variables)
        target = get_named_type(definition.type)
        if not isinstance(target, GraphQLObjectType):
            return Selected(key, name, arguments, tuple(nodes))
        groups = collect_sub_fields(self.schema, self.fragments, self.variables, target, nodes)
        return Selected(key, name, arguments, tuple(nodes), target.name, self._selected(target, groups))
