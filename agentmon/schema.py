"""The JSON Schema of the events, built from the event types themselves, and TypeScript types from that."""

import types
import typing
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Literal, get_args, get_origin

from agentmon.events import OPERATIONS, PAYLOADS, VERSION, Tree
from agentmon.ndjson import TYPE

_SIMPLE = {str: "string", int: "integer", float: "number", bool: "boolean", types.NoneType: "null"}


def json_schema() -> dict[str, Any]:
    """The schema (draft 2020-12) of one line."""
    definitions = {cls.__name__: _object(cls) for cls in (*PAYLOADS.values(), Tree)}
    definitions["GitActivity"]["properties"]["operation"] = {"enum": list(OPERATIONS)}
    definitions["AgentTelemetry"] = {
        "type": "object",
        "description": "The fold of all events so far: what a late reader of a socket gets first.",
        "required": [
            "agent_id",
            "team_id",
            "process_metrics",
            "git_activities",
            "token_usage",
            "activity_logs",
            "last_updated",
        ],
    }
    kinds = {event: (cls.key, cls.__name__) for event, cls in PAYLOADS.items()} | {
        "snapshot": ("agent_telemetry", "AgentTelemetry")
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "agentmon event",
        "description": "One line of the stream.",
        "type": "object",
        "required": ["v", "type", "run_id", "seq", "agent_id", "team_id", "event", "data", "timestamp"],
        "properties": {
            "v": {"const": VERSION},
            "type": {"const": TYPE},
            "run_id": {"type": "string"},
            "seq": {"type": "integer", "minimum": 0},
            "agent_id": {"type": "string"},
            "team_id": {"type": "string"},
            "event": {"enum": list(kinds)},
            "data": {"type": "object"},
            "timestamp": {"type": "number", "description": "Unix seconds"},
        },
        "oneOf": [
            {
                "properties": {
                    "event": {"const": event},
                    "data": {"type": "object", "required": [key], "properties": {key: {"$ref": f"#/$defs/{name}"}}},
                }
            }
            for event, (key, name) in kinds.items()
        ],
        "$defs": definitions,
    }


def _object(cls: type) -> dict[str, Any]:
    hints = typing.get_type_hints(cls)
    optional: frozenset[str] = cls.optional  # type: ignore[attr-defined]
    return {
        "type": "object",
        "description": (cls.__doc__ or "").split("\n\n")[0].replace("\n", " "),
        "required": [f.name for f in fields(cls) if f.name not in optional],
        "properties": {f.name: _type(hints[f.name], f.name in optional) for f in fields(cls)},
    }


def _type(hint: Any, optional: bool = False) -> dict[str, Any]:
    if hint in _SIMPLE:
        return {"type": _SIMPLE[hint]}
    origin, args = get_origin(hint), get_args(hint)
    if origin is Literal:
        return {"enum": list(args)}
    if origin is tuple:
        return {"type": "array", "items": _type(args[0])}
    if origin is Mapping:
        return {"type": "object", "additionalProperties": _type(args[1])}
    if origin is types.UnionType:
        known = [_type(arg) for arg in args if not (optional and arg is types.NoneType)]
        return known[0] if len(known) == 1 else {"anyOf": known}
    if hint is Tree:
        return {"$ref": "#/$defs/Tree"}
    return {}


def typescript(schema: Mapping[str, Any]) -> str:
    """TypeScript types of the same: one interface for each payload, and a union of events."""
    lines = ["// The events of agentmon, version 1: one JSON object a line."]
    for name, definition in schema["$defs"].items():
        lines += ["", f"/** {definition['description']} */", f"export interface {name} {{"]
        required = set(definition["required"])
        properties = definition.get("properties") or {key: {} for key in definition["required"]}
        lines += [f"  {key}{'' if key in required else '?'}: {_ts(value)};" for key, value in properties.items()]
        lines.append("}")
    lines += ["", "interface Envelope<E extends string, K extends string, P> {"]
    lines += [f"  {key}: {ts};" for key, ts in (
        ("v", "1"), ("type", f'"{TYPE}"'), ("run_id", "string"), ("seq", "number"), ("agent_id", "string"),
        ("team_id", "string"), ("event", "E"), ("data", "{ [key in K]: P }"), ("timestamp", "number"),
    )]  # fmt: skip
    lines += ["}", "", "export type AgentmonEvent ="]
    for variant in schema["oneOf"]:
        event = variant["properties"]["event"]["const"]
        ((key, ref),) = variant["properties"]["data"]["properties"].items()
        lines.append(f'  | Envelope<"{event}", "{key}", {ref["$ref"].rsplit("/", 1)[1]}>')
    return "\n".join(lines) + ";\n"


def _ts(schema: Mapping[str, Any]) -> str:
    if "$ref" in schema:
        return str(schema["$ref"]).rsplit("/", 1)[1]
    if "enum" in schema:
        return " | ".join(f'"{value}"' for value in schema["enum"])
    if "anyOf" in schema:
        return " | ".join(_ts(part) for part in schema["anyOf"])
    match schema.get("type"):
        case "integer" | "number":
            return "number"
        case "array":
            return f"Array<{_ts(schema['items'])}>"
        case "object" if "additionalProperties" in schema:
            return f"Record<string, {_ts(schema['additionalProperties'])}>"
        case "string" | "boolean" | "null" as simple:
            return str(simple)
    return "unknown"
