"""What the environment tells about itself: `/data/$metadata`, and the metadata service under both spellings (5)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any
from urllib.parse import unquote

from postroad.connectors.d365_finops.simulator.actions import PARAMETERS, RETURNED, SILENT, VERSIONS
from postroad.connectors.d365_finops.simulator.entities import Entity, Field, catalogue, label_of
from postroad.connectors.d365_finops.simulator.filters import NAMESPACE, invalid
from postroad.connectors.d365_finops.simulator.mistakes import RefusedError
from postroad.connectors.d365_finops.simulator.odata import rows_asked
from postroad.sdk.simulator import Answer, Request, json_answer

EDM = {"s": "Edm.String", "m": "Edm.String", "d": "Edm.DateTimeOffset", "t": "Edm.DateTimeOffset", "n": "Edm.Decimal"}
EDM |= {"i": "Edm.Int32", "r": "Edm.Int64"}
XPP = {"s": "String", "m": "String", "e": "Enum", "b": "Enum", "d": "Date", "t": "UtcDateTime", "n": "Real"}
XPP |= {"i": "Int32", "r": "Int64"}
LABEL = "@SIM:"
_CONDITION = re.compile(r"(?:contains\(tolower\((\w+)\), ?|(\w+) eq )('(?:[^']|'')*'|true|false)\)?")
_PATH = re.compile(r"/[Mm]etadata/(\w+)(?:\((.*)\))?/?")


def type_name(field: Field) -> str:
    """The type of a property in OData."""
    return EDM.get(field.kind) or f"{NAMESPACE}.{field.enum}"


# ---- /data and /data/$metadata ----


def service(base: str) -> Answer:
    """The service document."""
    sets = [{"name": name, "kind": "EntitySet", "url": name} for name in _every()]
    return json_answer({"@odata.context": f"{base}/data/$metadata", "value": sets})


def document() -> Answer:
    """The model as XML."""
    return Answer(_document(), content_type="application/xml")


@cache
def _document() -> bytes:
    parts = [*_enums(), *map(_entity_type, _every().values()), *map(_action, PARAMETERS)]
    sets = "".join(
        f'<EntitySet Name="{name}" EntityType="{NAMESPACE}.{each.name}"/>' for name, each in _every().items()
    )
    return (
        '<?xml version="1.0" encoding="utf-8"?>'
        '<edmx:Edmx Version="4.0" xmlns:edmx="http://docs.oasis-open.org/odata/ns/edmx"><edmx:DataServices>'
        f'<Schema Namespace="{NAMESPACE}" xmlns="http://docs.oasis-open.org/odata/ns/edm">{"".join(parts)}'
        f'<EntityContainer Name="Resources">{sets}</EntityContainer></Schema></edmx:DataServices></edmx:Edmx>'
    ).encode()


def _enums() -> Iterator[str]:
    for name, members in catalogue().enums.items():
        inner = "".join(f'<Member Name="{member}" Value="{value}"/>' for value, member in enumerate(members))
        yield f'<EnumType Name="{name}">{inner}</EnumType>'


def _entity_type(entity: Entity) -> str:
    keys = "".join(f'<PropertyRef Name="{name}"/>' for name in entity.keys)
    return f'<EntityType Name="{entity.name}"><Key>{keys}</Key>{"".join(_properties(entity))}</EntityType>'


def _properties(entity: Entity) -> Iterator[str]:
    for field in entity.properties:
        facets = ' Scale="variable"' if field.kind == "n" else ""
        facets += ' Nullable="false"' if field.name in entity.keys else ""
        yield f'<Property Name="{field.name}" Type="{type_name(field)}"{facets}/>'


def _action(name: str) -> str:
    bound = "DataManagementEntity" if name in VERSIONS else "DataManagementDefinitionGroup"
    inner = [f'<Parameter Name="{bound}" Type="Collection({NAMESPACE}.{bound})"/>']
    for parameter in PARAMETERS[name]:
        known = {"reExecute": "Edm.Boolean", "count": "Edm.Int32"}.get(parameter)
        facts = "Edm.String" if known is None else f'{known}" Nullable="false'
        inner.append(f'<Parameter Name="{parameter}" Type="{facts}"/>')
    returned = "" if name in SILENT else f'<ReturnType Type="{RETURNED.get(name, "Edm.String")}"/>'
    return f'<Action Name="{name}" IsBound="true">{"".join(inner)}{returned}</Action>'


def _every() -> dict[str, Entity]:
    return {**catalogue().entities, **catalogue().own}


# ---- the metadata service ----


def metadata(request: Request, base: str) -> Answer:
    """The answer of the metadata service; RefusedError for what it does not have."""
    found = _PATH.fullmatch(unquote(request.path))
    collection = found[1] if found else ""
    makers = {"DataEntities": _data_entities, "PublicEntities": _public_entities, "PublicEnumerations": _enumerations}
    context = f"{base}/metadata/$metadata#{collection}"
    if found and collection == "Labels":
        return json_answer({"@odata.context": f"{context}/$entity", **_label(found[2] or "", request)})
    if found is None or collection not in makers:
        raise RefusedError(f"No HTTP resource was found that matches the request URI '{request.path}'.", 404)
    rows = list(makers[collection]())
    if found[2] is not None:
        name = found[2].removeprefix("Name=").strip("'")
        rows = [row for row in rows if row["Name"] == name]
        if not rows:
            raise RefusedError(f"{collection} has no '{name}'.", 404)
        return json_answer({"@odata.context": f"{context}/$entity", **rows[0]})
    return json_answer({"@odata.context": context, "value": _cut(rows, request)})


def _cut(rows: list[dict[str, Any]], request: Request) -> list[dict[str, Any]]:
    known = {"$top", "$skip", "$filter", "$select"}
    unknown = [name for name in request.query if name.startswith("$") and name not in known]
    if unknown:
        raise invalid(f"The query option '{unknown[0]}' is not supported.")
    for condition in filter(None, request.query.get("$filter", "").split(" and ")):
        rows = _matching(rows, condition)
    if "$select" in request.query:
        names = request.query["$select"].split(",")
        rows = [{name: value for name, value in row.items() if name in names} for row in rows]
    return rows[rows_asked(request.query, "$skip") or 0 :][: rows_asked(request.query, "$top")]


def _matching(rows: list[dict[str, Any]], condition: str) -> list[dict[str, Any]]:
    """The rows with a text in a property, or with a value of it; clients were seen to ask nothing else."""
    found = _CONDITION.fullmatch(condition.strip())
    if found is None:
        raise invalid(f"Syntax error in '{condition}'.")
    name, text = found[1] or found[2], found[3].strip("'").replace("''", "'")
    if found[1]:
        return [row for row in rows if text in str(row.get(name, "")).lower()]
    return [row for row in rows if str(row.get(name, "")).lower() == text.lower()]


def _data_entities() -> Iterable[dict[str, Any]]:
    for entity in _every().values():
        yield {
            "Name": entity.table,
            "PublicEntityName": entity.name,
            "PublicCollectionName": entity.collection,
            "LabelId": LABEL + entity.collection,
            "DataServiceEnabled": True,
            "DataManagementEnabled": entity.scope != "own",
            "EntityCategory": "Parameter" if entity.scope == "own" else "Master",
            "IsReadOnly": entity.scope != "own",
        }


def _public_entities() -> Iterable[dict[str, Any]]:
    for entity in _every().values():
        yield {
            "Name": entity.name,
            "EntitySetName": entity.collection,
            "LabelId": LABEL + entity.collection,
            "IsReadOnly": entity.scope != "own",
            "ConfigurationEnabled": True,
            "Properties": [_property(entity, field) for field in entity.properties],
            "NavigationProperties": [],
            "PropertyGroups": [],
            "Actions": [],
        }


def _property(entity: Entity, field: Field) -> dict[str, Any]:
    key = field.name in entity.keys
    return {
        "Name": field.name,
        "TypeName": type_name(field),
        "DataType": XPP[field.kind],
        "LabelId": f"{LABEL}{entity.name}.{field.name}",
        "IsKey": key,
        "IsMandatory": key,
        "ConfigurationEnabled": True,
        "AllowEdit": not key,
        "AllowEditOnCreate": True,
        "IsDimension": False,
        "DimensionRelation": None,
        "IsDynamicDimension": False,
        "DimensionLegalEntityProperty": None,
        "DimensionTypeProperty": None,
    }


def _enumerations() -> Iterable[dict[str, Any]]:
    for name, members in catalogue().enums.items():
        shown = [
            {"Name": member, "Value": value, "LabelId": f"{LABEL}{name}.{member}", "ConfigurationEnabled": True}
            for value, member in enumerate(members)
        ]
        yield {"Name": name, "LabelId": LABEL + name, "Members": shown}


def _label(key: str, request: Request) -> dict[str, Any]:
    """One label: no filter is taken, and one is all that a call gives."""
    found = re.fullmatch(r"Id='([^']*)',Language='([^']*)'", key)
    if found is None or request.query:
        raise invalid("A label is asked for by its Id and Language.")
    name = found[1].removeprefix(LABEL).rpartition(".")[2]
    entity = catalogue().entities.get(name)
    return {"Id": found[1], "Language": found[2], "Value": entity.label if entity else label_of(name)}
