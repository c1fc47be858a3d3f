"""OpenAPI 3.1 from the route table and the schemas: no second description to keep true."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable
from typing import Any

import msgspec

from api import VERSION
from api.http import PAGE_LIMIT_MAX
from api.policy import OF_STANDING, Policy
from api.problems import CONTENT_TYPE
from api.routes import Route
from api.schemas import ProblemDetails
from api.scopes import opening
from usecases.told import Booking

_PARAMETER = re.compile(r"\{([a-z_]+)\}")
_REF = "#/components/schemas/{name}"
_WITH_TOKEN = {Policy.USER, *OF_STANDING}
_QUERY_SCHEMAS: dict[str, dict[str, Any]] = {
    "limit": {"type": "integer", "minimum": 1, "maximum": PAGE_LIMIT_MAX},
    "from": {"type": "string", "format": "date-time"},
    "to": {"type": "string", "format": "date-time"},
    "since": {"type": "integer", "minimum": 0},
}


def describe(routes: Iterable[Route]) -> bytes:
    """Return the OpenAPI document of *routes* as JSON."""
    rows = list(routes)
    types = [kind for row in rows for kind in (row.body, row.answer) if kind is not None]
    types += [kind for row in rows for _, kind in row.events]
    _, components = msgspec.json.schema_components([*types, ProblemDetails], ref_template=_REF)
    paths: dict[str, dict[str, Any]] = {}
    for row in rows:
        paths.setdefault(row.path, {})[row.method.lower()] = _operation(row)
    return msgspec.json.encode(
        {
            "openapi": "3.1.0",
            "info": {
                "title": "Evently",
                "version": VERSION,
                "description": "Event tickets for flash sales. Errors are RFC 9457 problems. "
                "Every GET is HEAD as well, and OPTIONS tells a path's methods. Bodies are never "
                "compressed, and no member, part of a query or Idempotency-Key stands twice.",
            },
            "paths": paths,
            "components": {
                "schemas": components,
                "securitySchemes": {
                    "token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
                    "key": {
                        "type": "http",
                        "scheme": "bearer",
                        "bearerFormat": "evk_..., an API key; evd_..., a device's token",
                    },
                },
            },
        }
    )


def _operation(row: Route) -> dict[str, Any]:
    summary, _, description = (inspect.getdoc(row.handler) or "").partition("\n")
    name = f"{row.handler.__module__.rpartition('.')[2]}_{row.handler.__name__}"
    operation: dict[str, Any] = {
        "operationId": name,
        "summary": summary,
        "description": description.strip(),
        "parameters": _parameters(row),
        "responses": _responses(row),
    }
    if row.policy in _WITH_TOKEN:
        operation["security"] = [{"token": []}]
        opened_by = opening(row.method, row.path)
        if opened_by:
            operation["security"].append({"key": []})
            operation["description"] = _scoped(operation["description"], opened_by)
    if row.body is not None:
        operation["requestBody"] = {
            "required": not row.may_be_bare,
            "content": {"application/json": {"schema": _reference(row.body)}},
        }
    return operation


def _scoped(description: str, scopes: frozenset[str]) -> str:
    """Return a description that names the scopes that open the route."""
    names = " or ".join(f"`{scope}`" for scope in sorted(scopes))
    return f"{description}\n\nOpen to API keys and devices with {names}.".strip()


def _parameters(row: Route) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in _PARAMETER.findall(row.path)
    ]
    found += [
        {"name": name, "in": "query", "schema": _QUERY_SCHEMAS.get(name, {"type": "string"})}
        for name in row.query
    ]
    if row.events:
        found.append(
            {
                "name": "Last-Event-ID",
                "in": "header",
                "description": "Of the last event that was received; browsers send it themselves.",
                "schema": {"type": "string"},
            }
        )
    if row.prefers:
        found.append(
            {
                "name": "Prefer",
                "in": "header",
                "description": "`durability=replicated` or `durability=database`: answer when "
                "that is reached; never less than the server's own level (RFC 7240).",
                "schema": {"type": "string"},
            }
        )
    if row.needs_key:
        found.append(
            {
                "name": "Idempotency-Key",
                "in": "header",
                "required": True,
                "description": "Made by the client before the first attempt; a UUID is advised. "
                "Good for as long as what it made is kept: bookings and waitlist entries as long "
                "as their event, holds until a day after their end.",
                "schema": {"type": "string", "minLength": 1, "maxLength": 255},
            }
        )
    return found


def _responses(row: Route) -> dict[str, Any]:
    responses: dict[str, Any] = {str(row.status): {"description": "Success."}}
    if row.answer is not None:
        responses[str(row.status)]["content"] = {
            "application/json": {"schema": _reference(row.answer)}
        }
    if row.events:
        responses[str(row.status)]["content"] = {
            "text/event-stream": {
                "schema": {"type": "string"},
                # What an event's data is, by its name: no field of OpenAPI 3.1 says it.
                "x-events": {name: _reference(kind) for name, kind in row.events},
            }
        }
    if row.answer is Booking and row.status == 201:
        responses["200"] = responses["201"] | {
            "description": "The booking was made before, and cancelled since."
        }
    codes = _codes(row)
    for status in sorted({status for status, _ in codes}):
        names = ", ".join(f"`{code}`" for own, code in codes if own == status)
        responses[str(status)] = {
            "description": f"One of {names}." if "," in names else f"{names}.",
            "content": {CONTENT_TYPE: {"schema": _reference(ProblemDetails)}},
        }
    return responses


def _codes(row: Route) -> list[tuple[int, str]]:
    """Return all problems of a route, its own and those of what it takes and of who may call."""
    codes = list(row.problems)
    if row.needs_key:
        codes += [(400, "idempotency_key_missing"), (400, "idempotency_key_malformed")]
    if row.body is not None:
        codes += [(400, "malformed"), (408, "request_timeout"), (413, "too_large")]
        codes.append((415, "unsupported_encoding"))
    if row.body is not None or row.query:
        codes.append((422, "invalid"))
    if row.policy is not Policy.OPS:
        codes += [(429, "rate_limited"), (503, "backpressure")]
    if row.policy in _WITH_TOKEN:
        codes.append((401, "unauthorized"))
    if row.policy in OF_STANDING:
        codes += [(403, "forbidden"), (503, "database_busy"), (503, "database_unavailable")]
    if row.policy in _WITH_TOKEN:
        codes.append((403, "insufficient_scope"))
    if (403, "forbidden") in codes:
        codes.append((403, "passkey_required"))
    return list(dict.fromkeys(codes))


def _reference(kind: type) -> dict[str, str]:
    return {"$ref": _REF.format(name=kind.__name__)}
