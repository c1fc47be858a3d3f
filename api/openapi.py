"""OpenAPI 3.1 from the route table and the schemas: no second description to keep true."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from api import VERSION, examples
from api.codes import CODES, Code
from api.http import PAGE_LIMIT_DEFAULT, PAGE_LIMIT_MAX, QUERY_CHARS_MAX
from api.policy import OF_STANDING, Policy
from api.problems import CONTENT_TYPE, RETRY_AFTER_S, TYPE_PREFIX, rate_limit_headers
from api.routes import Route
from api.schemas import ProblemDetails
from api.scopes import opening
from engine.ids import IDEMPOTENCY_KEY_CHARS_MAX
from usecases.told import Booking

_PARAMETER = re.compile(r"\{([a-z_]+)\}")
_REF = "#/components/schemas/{name}"
_WITH_TOKEN = {Policy.USER, *OF_STANDING}
_TEXT = {"type": "string", "maxLength": QUERY_CHARS_MAX}
_MOMENT = {"type": "string", "format": "date-time"}
_QUERY_SCHEMAS: dict[str, dict[str, Any]] = {
    "limit": {
        "type": "integer",
        "minimum": 1,
        "maximum": PAGE_LIMIT_MAX,
        "default": PAGE_LIMIT_DEFAULT,
    },
    "from": _MOMENT,
    "to": _MOMENT,
    "since": {"type": "integer", "minimum": 0},
}
_LIMITED = rate_limit_headers(10, 60_000, more_after_ms=7_000, name="bookings")
#: Headers of answers: what they say, and an example.
_HEADERS: dict[str, tuple[str, str]] = {
    "X-Request-Id": ("The request's name, its own if it brought one.", "b7a91c02d3e4-42"),
    "ETag": ("The version of what is shown, for `If-None-Match` and `If-Match`.", '"7-9f86d081"'),
    "Location": ("Where what was made is read.", f"/v1/bookings/{examples.own_id('bk')}"),
    "Link": ('The next page, `rel="next"`; absent on the last.', '<?after=MjAy>; rel="next"'),
    "Retry-After": ("Seconds to wait before the next try.", str(RETRY_AFTER_S)),
    "RateLimit-Policy": ("The limit that is reached.", _LIMITED["RateLimit-Policy"]),
    "RateLimit": ("What is left of it, and when there is more.", _LIMITED["RateLimit"]),
    "Allow": ("The methods of the path.", "GET, HEAD, OPTIONS"),
    "WWW-Authenticate": ("What lets one in.", 'Bearer realm="evently"'),
    "Idempotent-Replayed": ("`true` if this is the answer of an earlier request.", "true"),
    "Preference-Applied": ("The durability that was reached.", "durability=database"),
}


def describe(routes: Iterable[Route]) -> bytes:
    """Return the OpenAPI document of *routes* as JSON."""
    rows = list(routes)
    types = [kind for row in rows for kind in (row.body, row.answer) if kind is not None]
    types += [kind for row in rows for _, kind in row.events]
    _, components = msgspec.json.schema_components([*types, ProblemDetails], ref_template=_REF)
    components = {name: _portable(schema) for name, schema in components.items()}
    components["ProblemDetails"]["additionalProperties"] = True
    codes = sorted({code for row in rows for _, code in _codes(row)})
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
                "examples": {code: {"value": _problem(CODES[code])} for code in codes},
                "headers": {
                    name: {"description": what, "schema": {"type": "string"}, "example": example}
                    for name, (what, example) in _HEADERS.items()
                },
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
        content = {"schema": _reference(row.body), "example": examples.of_body(row.body)}
        operation["requestBody"] = {
            "required": not row.may_be_bare,
            "content": {"application/json": content},
        }
    return operation


def _portable(schema: Any) -> Any:
    """Return a schema whose patterns every engine reads: `$` ends a text but in Python."""
    if isinstance(schema, dict):
        return {
            name: value.replace(r"\Z", "$")
            if name == "pattern" and isinstance(value, str)
            else _portable(value)
            for name, value in schema.items()
        }
    return [_portable(one) for one in schema] if isinstance(schema, list) else schema


def _scoped(description: str, scopes: frozenset[str]) -> str:
    """Return a description that names the scopes that open the route."""
    names = " or ".join(f"`{scope}`" for scope in sorted(scopes))
    return f"{description}\n\nOpen to API keys and devices with {names}.".strip()


def _parameters(row: Route) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for name in _PARAMETER.findall(row.path)
    ]
    found += [
        {"name": name, "in": "query", "schema": _QUERY_SCHEMAS.get(name, _TEXT)}
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
        text = (
            "`durability=replicated` or `durability=database`: answer when that is reached; never "
            "less than the server's own level (RFC 7240)."
        )
        found.append(_header("Prefer", text, "durability=database"))
    if row.needs_key:
        found.append(_KEY_PARAMETER | {"required": True})
    elif row.is_keyed or row.is_kept:
        text = _TOLD_ONCE_KEY if row.is_secret else _KEPT_KEY if row.is_kept else _OWN_KEY
        # An empty one is none.
        schema = _KEY_SCHEMA | {"minLength": 0, "pattern": _KEY_PATTERN.replace("+", "*")}
        found.append(_KEY_PARAMETER | {"description": text, "schema": schema})
    if row.has_etag and row.method == "GET":
        text = "An ETag that was told before: 304 if it still is the one."
        found.append(_header("If-None-Match", text, _HEADERS["ETag"][1]))
    if row.needs_match:
        text = "The ETag of what is to be changed, as it was read; without it 428, another 412."
        found.append(_header("If-Match", text, _HEADERS["ETag"][1]))
    return found


def _header(name: str, description: str, example: str) -> dict[str, Any]:
    """Return a header that a request may have."""
    return {
        "name": name,
        "in": "header",
        "description": description,
        "schema": {"type": "string"},
        "example": example,
    }


#: Visible ASCII but for quotes, which may stand around it, and backslashes.
_KEY_PATTERN = r"^[!#-\[\]-~]+$"
_KEY_SCHEMA: dict[str, Any] = {
    "type": "string",
    "minLength": 1,
    "maxLength": IDEMPOTENCY_KEY_CHARS_MAX,
    "pattern": _KEY_PATTERN,
}
_KEY_PARAMETER: dict[str, Any] = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "Made by the client before the first attempt; a UUID is advised. Good for as "
    "long as what it made is kept: bookings and waitlist entries as long as their event, holds "
    "until a day after their end.",
    "schema": _KEY_SCHEMA,
    "example": "0b9e2f4a-6c1d-4e8f-9a3b-5d7c1e2f3a4b",
}


_OWN_KEY = "The name of this one attempt, the same with every repetition."
_KEPT_KEY = (
    "The name of this one request, the same with every repetition: it is done once, and its answer "
    "is given again for 24 hours."
)
_TOLD_ONCE_KEY = (
    "The name of this one request, the same with every repetition: it is done once. What is secret "
    "in its answer is told once, so a repetition is 409 `done_before` with the id of what was made."
)


#: What answers without a schema of their own hold.
_ANY_TEXT: Mapping[str, Any] = {"type": "string"}
_MEDIA: Mapping[str, Mapping[str, Any]] = {
    "application/json": {"type": "object"},
    "application/ld+json": {"type": "array", "items": {"type": "object"}},
}


def _responses(row: Route) -> dict[str, Any]:
    success: dict[str, Any] = {"description": "Success.", "headers": _headers(*_told_by(row))}
    content: dict[str, dict[str, Any]] = {
        name: {"schema": _MEDIA.get(name, _ANY_TEXT)} for name in row.media
    }
    if row.answer is not None:
        example = examples.of_answer(row.answer)
        content["application/json"] = {"schema": _reference(row.answer), "example": example}
    if row.events:
        content["text/event-stream"] = {
            "schema": {"type": "string"},
            # What an event's data is, by its name: no field of OpenAPI 3.1 says it.
            "x-events": {name: _reference(kind) for name, kind in row.events},
        }
    if content:
        success["content"] = content
    responses = {str(row.status): success}
    if row.answer is Booking and row.status == 201:
        responses["200"] = success | {
            "description": "The booking was made before, and cancelled since."
        }
    if row.has_etag and row.method == "GET":
        text = "What `If-None-Match` names is what would be shown."
        responses["304"] = {"description": text, "headers": _headers("ETag")}
    codes = _codes(row)
    for status in sorted({status for status, _ in codes}):
        own = [code for own, code in codes if own == status]
        responses[str(status)] = _refusal(status, own)
    return responses


def _told_by(row: Route) -> list[str]:
    """Return the headers of a route's success."""
    told = {
        "ETag": row.has_etag,
        "Location": row.is_located,
        "Link": "has_more" in getattr(row.answer, "__struct_fields__", ()) or row.path in _LINKED,
        "Idempotent-Replayed": row.needs_key or (row.is_kept and not row.is_secret),
        "Preference-Applied": row.prefers,
    }
    return [name for name, is_told in told.items() if is_told]


#: Lists that are no JSON pages.
_LINKED = frozenset({"/v1/events/export"})


def _headers(*names: str) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in ("X-Request-Id", *names)}


_OF_REFUSALS = {
    401: ("WWW-Authenticate",),
    429: ("Retry-After", "RateLimit-Policy", "RateLimit"),
    503: ("Retry-After",),
}


def _refusal(status: int, codes: list[str]) -> dict[str, Any]:
    """Describe the problems of one status."""
    names = ", ".join(f"`{code}`" for code in codes)
    content = {
        "schema": _reference(ProblemDetails),
        "examples": {code: {"$ref": f"#/components/examples/{code}"} for code in codes},
    }
    return {
        "description": f"One of {names}." if "," in names else f"{names}.",
        "headers": _headers(*_OF_REFUSALS.get(status, ())),
        "content": {CONTENT_TYPE: content},
    }


def _problem(code: Code) -> dict[str, Any]:
    """Return an example of a problem."""
    known = {
        "type": TYPE_PREFIX + code.code,
        "title": code.title,
        "status": code.http_status,
        "code": code.code,
    }
    whole: dict[str, Any] = examples.of_answer(ProblemDetails) | known
    if code.code != "invalid":
        del whole["errors"]
    del whole["detail"]
    return whole


#: What a route may answer whose repetitions are known by their key.
OF_KEPT = (
    (400, "idempotency_key_malformed"),
    (409, "request_in_progress"),
    (409, "done_before"),
    (422, "idempotency_key_reused"),
    (503, "database_busy"),
    (503, "database_unavailable"),
)


def _codes(row: Route) -> list[tuple[int, str]]:
    """Return all problems of a route, its own and those of what it takes and of who may call."""
    codes = list(row.problems)
    if row.needs_key:
        codes += [(400, "idempotency_key_missing"), (400, "idempotency_key_malformed")]
    if row.is_kept:
        codes += OF_KEPT
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
