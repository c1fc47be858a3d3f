"""
A collector of OpenTelemetry for tests, a process of its own: takes OTLP over HTTP, and shows it.

`GET /spans` shows what came, one object a span; `POST /mood/{mood}` makes it `well`, `broken` (it
answers 500) or `stuck` (it answers nothing).
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import orjson
import requests
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from evently.ports import free_port

TIMEOUT_S = 60.0
ASK_TIMEOUT_S = 10.0


class Collector:
    """The process, as a test sees it."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"

    def spans(self) -> list[dict[str, Any]]:
        """Return what came, in the order in which it came."""
        found = orjson.loads(requests.get(f"{self.url}/spans", timeout=ASK_TIMEOUT_S).content)
        assert isinstance(found, list)
        return found

    def wait_for(self, count: int) -> list[dict[str, Any]]:
        """Return what came, as soon as it is so much."""
        end_s = time.monotonic() + TIMEOUT_S
        while len(found := self.spans()) < count:
            assert time.monotonic() < end_s, found
            time.sleep(0.05)
        return found

    def feel(self, mood: str) -> None:
        """Make it well, broken or stuck."""
        requests.post(f"{self.url}/mood/{mood}", timeout=ASK_TIMEOUT_S)


@contextmanager
def collecting() -> Iterator[Collector]:
    """Run a collector."""
    port = free_port()
    child = subprocess.Popen([sys.executable, "-m", "tests.evently.collector", str(port)])
    collector, end_s = Collector(port), time.monotonic() + TIMEOUT_S
    try:
        while True:
            try:
                collector.spans()
                break
            except requests.ConnectionError:
                assert child.poll() is None, "it has ended"
                assert time.monotonic() < end_s
                time.sleep(0.05)
        yield collector
    finally:
        child.kill()
        child.wait()


def _value(value: Any) -> str | int:
    found = getattr(value, value.WhichOneof("value"))
    assert isinstance(found, str | int)
    return found


def _serve(port: int) -> None:
    spans: list[dict[str, Any]] = []
    moods = ["well"]

    async def take(request: web.Request) -> web.Response:
        if moods[-1] == "stuck":
            await asyncio.sleep(3_600)
        if moods[-1] == "broken":
            return web.Response(status=500)
        assert "application/x-protobuf" == request.content_type
        asked = ExportTraceServiceRequest.FromString(await request.read())
        for of_resource in asked.resource_spans:
            resource = {one.key: _value(one.value) for one in of_resource.resource.attributes}
            for scope in of_resource.scope_spans:
                spans.extend(_told(span, resource) for span in scope.spans)
        answer = ExportTraceServiceResponse().SerializeToString()
        return web.Response(body=answer, content_type="application/x-protobuf")

    async def show(_: web.Request) -> web.Response:
        return web.Response(body=orjson.dumps(spans))

    async def feel(request: web.Request) -> web.Response:
        moods.append(request.match_info["mood"])
        return web.Response()

    app = web.Application(client_max_size=64 * 1024 * 1024)
    app.router.add_post("/v1/traces", take)
    app.router.add_get("/spans", show)
    app.router.add_post("/mood/{mood}", feel)
    web.run_app(app, host="127.0.0.1", port=port, print=None)


def _told(span: Any, resource: dict[str, str | int]) -> dict[str, Any]:
    return {
        "name": span.name,
        "kind": span.kind,
        "trace": span.trace_id.hex(),
        "parent": span.parent_span_id.hex(),
        "seconds": (span.end_time_unix_nano - span.start_time_unix_nano) / 1e9,
        "ended_s": span.end_time_unix_nano / 1e9,
        "is_error": span.status.code == 2,
        "attributes": {one.key: _value(one.value) for one in span.attributes},
        "resource": resource,
    }


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
