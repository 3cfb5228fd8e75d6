"""The published JSON Schemas of a project's files, for editors: `python -m postroad.project.schema` writes them.

They hold the settings of the connectors that are installed, as these are declared.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from postroad.project.shape import NAME, FlowShape, ProjectShape
from postroad.sdk import registry

Schema = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
FOLDER = Path("docs/schema")
SCALARS = ("integer", "number", "boolean")
RESTRICTING = ("enum", "const", "pattern", "format")
ABOUT = ("title", "description", "default", "examples", "deprecated")


def project_schema() -> Schema:
    """The schema of postroad.yaml, each connection under the settings of its connector."""
    schema = with_variables(ProjectShape.model_json_schema())
    names = registry.connector_names()
    schema["$defs"] = {"connection": _connection(names)}
    for name in names:
        schema["$defs"] |= _settings(name)
    schema["properties"]["connections"] |= _named({"$ref": "#/$defs/connection"})
    return {"$schema": DIALECT, **schema, "title": "Project", "description": "postroad.yaml: a project's connections."}


def environment_schema() -> Schema:
    """The schema of environments/NAME.yaml: any part of postroad.yaml; what is given there need not be whole."""
    schema = with_variables(ProjectShape.model_json_schema())
    schema["properties"]["connections"] |= _named({"type": "object"})
    for key in ("required", "$defs"):
        schema.pop(key, None)
    for value in schema["properties"].values():
        value.pop("default", None)
    schema["properties"]["lake"]["anyOf"][1].pop("required")
    schema["properties"]["notify"]["anyOf"][0].pop("required")
    about = "environments/NAME.yaml, which overlays postroad.yaml key by key."
    return {"$schema": DIALECT, **schema, "title": "Environment", "description": about}


def flow_schema() -> Schema:
    """The schema of a file in flows/."""
    return {"$schema": DIALECT, **with_variables(FlowShape.model_json_schema()), "title": "Flow"}


def schemas() -> dict[str, str]:
    """Every published schema's text by file name."""
    made = {"postroad": project_schema(), "environment": environment_schema(), "flow": flow_schema()}
    return {f"{name}.schema.json": json.dumps(made[name], indent=2, ensure_ascii=False) + "\n" for name in made}


def with_variables(schema: Any) -> Any:
    """The schema with `$VAR` allowed wherever a scalar is not any text anyhow."""
    if isinstance(schema, list):
        return [with_variables(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("type") in SCALARS or (schema.get("type") == "string" and any(key in schema for key in RESTRICTING)):
        about = {key: value for key, value in schema.items() if key in ABOUT}
        strict = {key: value for key, value in schema.items() if key not in ABOUT}
        return about | {"anyOf": [strict, {"type": "string", "pattern": r"\$"}]}
    return {key: value if key in (*ABOUT, *RESTRICTING) else with_variables(value) for key, value in schema.items()}


def _named(schema: Schema) -> Schema:
    names = {"pattern": NAME, "maxLength": 64}
    return {"type": "object", "propertyNames": names, "patternProperties": {}, "additionalProperties": schema}


def _connection(names: list[str]) -> Schema:
    kinds = [
        {"if": {"properties": {"connector": {"const": name}}}, "then": {"$ref": f"#/$defs/{name}"}} for name in names
    ]
    about = "A configured remote system: its connector, and the settings that this connector documents."
    connector = {"enum": names, "description": "The kind of system."}
    return {
        "description": about,
        "type": "object",
        "required": ["connector"],
        "properties": {"connector": connector},
    } | ({"allOf": kinds} if kinds else {})


def _settings(name: str) -> dict[str, Schema]:
    model = registry.load_connector(name).settings
    schema = with_variables(model.model_json_schema(ref_template=f"#/$defs/{name}.{{model}}"))
    parts = schema.pop("$defs", {})
    schema.setdefault("additionalProperties", False)
    schema["properties"] = {"connector": {"const": name}, **schema.get("properties", {})}
    return {name: schema} | {f"{name}.{part}": value for part, value in parts.items()}


def main(folder: Path = FOLDER) -> None:
    """Write the schemas into the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in schemas().items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
