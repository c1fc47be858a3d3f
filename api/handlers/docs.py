"""The description of the API as a page for people, made of the one for machines."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import escape
from typing import Any

import msgspec
from aiohttp import web

from api import pages
from api.pages import prose
from api.problems import TYPE_PREFIX, Problem

DOCS: web.AppKey[bytes] = web.AppKey("docs", bytes)
_CODE = re.compile("`([a-z0-9_]+)`")
#: Segments of paths that name no part of the API.
_VERSION = "v1"


async def docs(request: web.Request) -> web.StreamResponse | Problem:
    """Show the description of this API to people."""
    body = request.app[DOCS]
    return web.Response(body=body, content_type="text/html", charset="utf-8", headers=pages.HEADERS)


def rendered(document: bytes) -> bytes:
    """
    Return the page of an OpenAPI document of ours.

    Cost: some tens of ms, once a process.
    """
    whole = msgspec.json.decode(document)
    parts: dict[str, list[str]] = {}
    for path, methods in whole["paths"].items():
        for method, operation in methods.items():
            parts.setdefault(_part(path), []).append(_operation(method, path, operation))
    sections = [
        f'<h2 id="{escape(name)}">{escape(name)}</h2>\n' + "\n".join(rows)
        for name, rows in parts.items()
    ]
    links = "\n".join(
        f'<li><a href="#{escape(name)}">{escape(name)} <span class="small">{len(rows)} '
        f"operations</span></a></li>"
        for name, rows in parts.items()
    )
    info = whole["info"]
    body = (
        f"<main>\n<h1>{prose(info['title'])} API</h1>\n<p>{prose(info['description'])}</p>\n"
        '<p>For machines: <a href="/openapi.json">/openapi.json</a>. What refusals mean: '
        f'<a href="/problems">/problems</a>.</p>\n<ul>\n{links}\n<li><a href="#types">types</a>'
        "</li>\n</ul>\n" + "\n".join(sections) + f"\n{_types(whole)}\n</main>"
    )
    return pages.html(f"{prose(info['title'])} API", body, is_wide=True).encode()


def _part(path: str) -> str:
    """Return the part of the API that a path belongs to."""
    steps = [step for step in path.split("/") if step and step != _VERSION]
    return steps[0]


def _operation(method: str, path: str, operation: dict[str, Any]) -> str:
    lines = [
        f'<h3 id="{escape(operation["operationId"])}"><code>{method.upper()} {escape(path)}</code>'
        "</h3>",
        f"<p>{prose(operation['summary'])}</p>",
        *[f"<p>{prose(text)}</p>" for text in operation["description"].split("\n\n") if text],
    ]
    if "security" in operation:
        lines.append("<p>Needs a token.</p>")
    if operation["parameters"]:
        rows = "\n".join(_parameter(one) for one in operation["parameters"])
        lines.append(f"<table>\n{rows}\n</table>")
    for content in operation.get("requestBody", {}).get("content", {}).values():
        lines += ["<h4>Body</h4>", _shown(content)]
    rows = "\n".join(_response(status, one) for status, one in operation["responses"].items())
    lines.append(f"<details>\n<summary>Answers</summary>\n<table>\n{rows}\n</table>\n</details>")
    return "\n".join(lines)


def _parameter(one: dict[str, Any]) -> str:
    need = "required" if one.get("required") else "optional"
    says = prose(one.get("description", ""))
    name, place = escape(one["name"]), escape(one["in"])
    return f"<tr><th><code>{name}</code></th><td>{place}, {need}. {says}</td></tr>"


def _response(status: str, one: dict[str, Any]) -> str:
    says = _CODE.sub(
        lambda match: f'<a href="{TYPE_PREFIX}{match[1]}"><code>{match[1]}</code></a>',
        escape(one["description"]),
    )
    headers = ", ".join(f"<code>{escape(name)}</code>" for name in one.get("headers", {}))
    shown = "".join(_shown(content) for content in one.get("content", {}).values())
    return (
        f'<tr><th>{escape(status)}</th><td>{says}<span class="small">{headers}</span>{shown}</td>'
        "</tr>"
    )


def _shown(content: dict[str, Any]) -> str:
    """Return a link to the type of some content, and its example."""
    text = ""
    name = _name_of(content["schema"])
    if name:
        text = f'<p>As <a href="#type-{name}">{name}</a></p>'
    if "example" in content:
        text += f"<pre>{escape(_pretty(content['example']))}</pre>"
    return text


def _types(whole: dict[str, Any]) -> str:
    rows = "\n".join(
        _type(name, schema) for name, schema in sorted(whole["components"]["schemas"].items())
    )
    return f'<h2 id="types">Types</h2>\n{rows}'


def _type(name: str, schema: dict[str, Any]) -> str:
    required = set(schema.get("required", ()))
    rows = "\n".join(
        f"<tr><th><code>{escape(field)}</code></th><td>{', '.join(_kinds(one))}"
        f"{'' if field in required else ', may be left out'}</td></tr>"
        for field, one in schema.get("properties", {}).items()
    )
    return (
        f'<h3 id="type-{name}">{name}</h3>\n<p>{prose(schema.get("description", ""))}</p>\n'
        f"<table>\n{rows}\n</table>"
    )


def _kinds(schema: dict[str, Any]) -> Iterator[str]:
    """Yield what a field may be, in words."""
    name = _name_of(schema)
    if name:
        yield f'<a href="#type-{name}">{name}</a>'
    elif "anyOf" in schema:
        for one in schema["anyOf"]:
            yield from _kinds(one)
    elif "enum" in schema:
        yield " or ".join(f"<code>{escape(str(value))}</code>" for value in schema["enum"])
    elif schema.get("type") == "array":
        yield f"list of {' or '.join(_kinds(schema.get('items', {})))}"
    else:
        bounds = [f"{word} {schema[key]}" for key, word in _BOUNDS.items() if key in schema]
        kind = schema.get("format") or schema.get("type", "anything")
        yield escape(" ".join([str(kind), *bounds]))


_BOUNDS = {
    "minLength": "from",
    "maxLength": "up to",
    "minimum": "≥",
    "maximum": "≤",
    "maxItems": "up to",
    "maxProperties": "up to",
}


def _name_of(schema: dict[str, Any]) -> str:
    """Return the name of the type that a schema refers to, or nothing."""
    return escape(str(schema.get("$ref", "")).rpartition("/")[2])


def _pretty(value: object) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()
