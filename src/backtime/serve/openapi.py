"""The OpenAPI document: the addresses, and the fields that the dataclasses describe."""

import dataclasses
import math
from typing import Any

import backtime.tasks as tasks
from backtime.fields import about, kinds
from backtime.serve.messages import Message
from backtime.serve.settings import ServeSettings
from backtime.version import __version__

TYPES = {int: "integer", float: "number", bool: "boolean", str: "string"}
MODEL = {"name": "model", "in": "path", "required": True, "schema": {"type": "string"}}
TELL = {
    400: "the body is not what is expected", 401: "no token, or a wrong one", 404: "no such model",
    408: "the body came too slowly", 413: "too large, or too much work", 415: "another content type",
    429: "too much at a time", 503: "the server is stopping",
}  # fmt: skip


def document(settings: ServeSettings) -> dict[str, Any]:
    """The whole document."""
    sampling = tasks.find(tasks.DEFAULT).sampling
    assert sampling is not None  # the language task writes
    schemas = {
        "Text": _schema(sampling), "Message": _schema(Message),
        "Records": {"type": "object", "required": ["records"], "additionalProperties": False, "properties": {
            "records": {"type": "array", "items": {}, "minItems": 1, "maxItems": settings.most_records}}},
        "Error": {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}},
    }  # fmt: skip
    return {
        "openapi": "3.1.0",
        "info": {"title": "backtime serve", "version": __version__},
        "paths": _paths(),
        "components": {
            "schemas": schemas,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}, {}],
    }


def _paths() -> dict[str, Any]:
    own = "/v1/models/{model}"
    file = {"name": "name", "in": "query", "required": True, "schema": {"type": "string"}}
    return {
        "/healthz": {"get": _operation("whether new work is taken", 503)},
        "/metrics": {"get": _operation("counters for Prometheus", kind="text/plain")},
        "/openapi.json": {"get": _operation("this document")},
        "/v1/models": {"get": _operation("the models")},
        own: {"get": _operation("a model", 404), "parameters": [MODEL]},
        f"{own}/predict": _post("a row for each record", "Records"),
        f"{own}/predict-file": _post("a row for each record of a file", "", parameters=[file]),
        f"{own}/sample": _post("a text, as one answer", "Text"),
        f"{own}/stream": _post(
            "a text as it comes: events of text, then one named end", "Text", "text/event-stream"
        ),
        f"{own}/session": {
            "get": _operation("a WebSocket: a Message in, its answer out", 404, 429, 503, success="101"),
            "parameters": [MODEL],
        },
    }


def _post(summary: str, schema: str, kind: str = "application/json", **more: Any) -> dict[str, Any]:
    body: dict[str, Any] = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
    if schema:
        body = {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
    operation = _operation(summary, *TELL, kind=kind)
    return {
        "post": operation | {"requestBody": {"required": True, "content": body}} | more,
        "parameters": [MODEL],
    }


def _operation(
    summary: str, *errors: int, kind: str = "application/json", success: str = "200"
) -> dict[str, Any]:
    error = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    told = {str(code): {"description": TELL[code], "content": error} for code in errors}
    return {"summary": summary, "responses": {success: {"description": "done", "content": {kind: {}}}} | told}


def _schema(cls: type[Any]) -> dict[str, Any]:
    """A dataclass as JSON Schema."""
    types, found = kinds(cls), {}
    for field in dataclasses.fields(cls):
        if "about" not in field.metadata:
            found[field.name] = (
                {"type": "array"} if types[field.name] is list else {"type": ["object", "null"]}
            )
            continue
        told, kind = about(field), TYPES[types[field.name]]
        own: dict[str, Any] = {"type": [kind, "null"] if field.default is None else kind}
        own |= {"description": told.help, "default": field.default}
        own |= {} if told.least is None else {"minimum": told.least}
        own |= {} if told.below == math.inf else {"exclusiveMaximum": told.below}
        found[field.name] = own
    return {"type": "object", "properties": found, "additionalProperties": False}
