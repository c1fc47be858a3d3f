"""
Traces by OpenTelemetry: the spans of this process go to a collector, as OTLP over HTTP.

Off unless `OTEL_EXPORTER_OTLP_ENDPOINT` is set; then the extra `evently[otel]` must be there. Off,
nothing of OpenTelemetry is imported. On, spans wait in a queue that is bounded, and leave by a
thread of their own: a collector that is slow, away or wrong costs spans, and no request.
"""

from __future__ import annotations

import contextlib
import importlib.util
import sys
import uuid
from collections.abc import Iterator
from random import random
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import structlog

from engine.lasting import Seldom
from engine.spans import Span, SpanTeller
from evently.settings import SettingsError, open_telemetry

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

log = structlog.get_logger()

ENDPOINT = "EXPORTER_OTLP_ENDPOINT"
#: Of what is done thousands of times a second, the share that begins a trace.
FREQUENT_SHARE = 0.01
#: How long a process that ends waits for its last spans to leave.
CLOSE_TIMEOUT_MS = 2_000
_NEEDED = ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http")


def require() -> str:
    """
    Return where spans go; "" if nobody wants them.

    Raises:
        SettingsError: they cannot go there, or the libraries are not installed.
    """
    endpoint = open_telemetry(ENDPOINT)
    if not endpoint or open_telemetry("SDK_DISABLED").lower() == "true":
        return ""
    parts = urlsplit(endpoint)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise SettingsError(f"OTEL_{ENDPOINT}: is not a web address such as http://host:4318")
    if open_telemetry("EXPORTER_OTLP_PROTOCOL") not in {"", "http/protobuf"}:
        raise SettingsError("OTEL_EXPORTER_OTLP_PROTOCOL: only http/protobuf is spoken")
    if not all(map(_is_installed, _NEEDED)):
        raise SettingsError(
            f"OTEL_{ENDPOINT} is set, and OpenTelemetry is not installed: "
            "pip install 'evently[otel]', or leave it empty"
        )
    return endpoint


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


@contextlib.contextmanager
def telling(service: str) -> Iterator[SpanTeller | None]:
    """
    Yield whom to tell of spans, or None; in the end, wait a moment for the last ones to leave.

    What is wrong with it is one line on stderr and exit code 2, as `Settings.load_or_exit` does.

    Args:
        service: Name of the process in each span: api, persister-0, notifier.
    """
    try:
        endpoint = require()
    except SettingsError as error:
        sys.stderr.write(f"{service}: {error}\n")
        raise SystemExit(2) from None
    if not endpoint:
        yield None
        return
    told = _Telling(service)
    try:
        yield told.tell
    finally:
        told.close()


class _Telling:
    """The way of spans to the collector."""

    def __init__(self, service: str) -> None:
        # Here, so that nobody pays for them who does not use them.
        from opentelemetry import trace  # noqa: PLC0415
        from opentelemetry.context import Context  # noqa: PLC0415
        from opentelemetry.exporter.otlp.proto.http import trace_exporter as otlp  # noqa: PLC0415
        from opentelemetry.sdk.resources import Resource  # noqa: PLC0415
        from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
        from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415
        from opentelemetry.trace.propagation import tracecontext  # noqa: PLC0415

        self._trace, self._none = trace, Context()
        self._propagator = tracecontext.TraceContextTextMapPropagator()
        self._trouble = Seldom()
        self._processor: BatchSpanProcessor = BatchSpanProcessor(otlp.OTLPSpanExporter())
        named = {
            "service.namespace": "evently",
            "service.name": service,
            "service.instance.id": str(uuid.uuid4()),
        }
        provider = TracerProvider(resource=Resource.create(named), shutdown_on_exit=False)
        provider.add_span_processor(self._processor)
        self._tracer = provider.get_tracer("evently")
        #: Whether it is for us to say what of the frequent begins a trace.
        self._is_sparing = not open_telemetry("TRACES_SAMPLER")

    def tell(self, span: Span) -> None:
        """Send a span some time; never fails."""
        try:
            self._tell(span)
        except Exception as error:  # noqa: BLE001  Whatever it is, it is nobody's but ours.
            left_out = self._trouble.left_out()
            if left_out is not None:
                log.warning("span lost", action="span", error=repr(error), left_out=left_out)

    def _tell(self, span: Span) -> None:
        trace, context = self._trace, self._none
        # The library would take five times as long to find that it is not wanted.
        is_spared = self._is_sparing and span.is_frequent and not span.parent
        if is_spared and random() >= FREQUENT_SHARE:  # noqa: S311
            return
        if span.parent:
            context = self._propagator.extract({"traceparent": span.parent}, context)
        kind = trace.SpanKind.SERVER if span.is_served else trace.SpanKind.INTERNAL
        made = self._tracer.start_span(
            span.name,
            context=context,
            kind=kind,
            attributes=span.attributes,
            start_time=span.started_ns,
        )
        if span.error:
            made.set_attribute("error.type", span.error)
            made.set_status(trace.Status(trace.StatusCode.ERROR))
        made.end(span.ended_ns)

    def close(self) -> None:
        """Let the last spans leave, if they do so soon; the thread ends with the process."""
        # The processor's own `shutdown` would wait for half a minute.
        self._processor._batch_processor.shutdown(CLOSE_TIMEOUT_MS)  # noqa: SLF001
