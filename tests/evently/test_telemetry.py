"""Spans for a collector: a real one takes them; none, a broken one or a stuck one harms nobody."""

from __future__ import annotations

import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.spans import Span, ended_now
from evently import telemetry
from evently.settings import SettingsError
from tests.api.processes import Heard, Process, post, running
from tests.evently.collector import Collector, collecting

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED, UNSAMPLED = (f"traceparent: 00-{TRACE}-{PARENT}-0{flag}" for flag in (1, 0))
BOOKINGS = "/v1/events/evt_00000000000000000000000000/bookings"
ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"


@pytest.fixture(scope="module")
def shared() -> Iterator[Collector]:
    """Run one collector for all tests; what each sends bears its own name."""
    with collecting() as collector:
        yield collector


@pytest.fixture
def collector(shared: Collector, monkeypatch: pytest.MonkeyPatch) -> Collector:
    """Return the collector, well, with the environment that leads to it."""
    shared.feel("well")
    monkeypatch.setenv(ENDPOINT, shared.url)
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
    return shared


def ask(process: Process, path: str, *lines: str, method: str = "GET") -> Heard:
    """Ask, by the name of the path and the method."""
    return process.ask(post(path, b"", *lines, method=method))


def of(collector: Collector, request_id: str) -> list[dict[str, Any]]:
    """Return the spans of a request."""
    return [
        one
        for one in collector.spans()
        if one["attributes"].get("evently.request_id") == request_id
    ]


@pytest.mark.processes
def test_requests_are_told(collector: Collector, tmp_path: Path) -> None:
    """A request is a span with route, status and request id, within the trace that it brings."""
    with running(tmp_path) as process:
        asked = [
            ask(process, "/problems", SAMPLED, "X-Request-Id: cold"),
            ask(process, "/v1/events", "X-Request-Id: away"),
            ask(process, BOOKINGS, SAMPLED, "X-Request-Id: hot", method="POST"),
            ask(process, "/problems", UNSAMPLED, "X-Request-Id: unsampled"),
            ask(process, "/healthz", SAMPLED, "X-Request-Id: probe"),
            ask(process, "/problems?q=secret", "X-Request-Id: last"),
            ask(process, "/nowhere/secret", SAMPLED, "X-Request-Id: nowhere"),
        ]
        began_s = time.time()
    # What was not sent yet leaves before the process ends.
    assert [200, 503, 401, 200, 200, 200, 404] == [one.status for one in asked]
    [cold], [away], [hot] = (of(collector, name) for name in ("cold", "away", "hot"))
    assert (TRACE, PARENT, 2) == (cold["trace"], cold["parent"], cold["kind"])
    assert ("GET /problems", False) == (cold["name"], cold["is_error"])
    assert ("api", "evently") == (
        cold["resource"]["service.name"],
        cold["resource"]["service.namespace"],
    )
    assert 0 < cold["seconds"]
    assert cold["ended_s"] <= began_s
    assert {
        "http.request.method": "GET",
        "http.route": "/problems",
        "http.response.status_code": 200,
        "evently.request_id": "cold",
    } == cold["attributes"]
    assert ("", True, "503") == (away["parent"], away["is_error"], away["attributes"]["error.type"])
    assert TRACE != away["trace"]
    assert (TRACE, "POST /v1/events/{event_id}/bookings") == (hot["trace"], hot["name"])
    assert ([], [], 1) == (
        of(collector, "unsampled"),
        of(collector, "probe"),
        len(of(collector, "last")),
    )
    assert ["GET unknown"] == [one["name"] for one in of(collector, "nowhere")]
    assert "secret" not in str(collector.spans())


@pytest.mark.processes
@pytest.mark.parametrize("mood", ["broken", "stuck", "away"])
def test_trouble_touches_no_request(
    collector: Collector, tmp_path: Path, mood: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a collector that fails, hangs or is not there, all is answered, and the end is soon."""
    if mood == "away":
        monkeypatch.setenv(ENDPOINT, "http://127.0.0.1:1")
    else:
        collector.feel(mood)
    # So small that it overflows.
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "8")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "4")
    with running(tmp_path, drain_notice_s=0, drain_timeout_s=1) as process:
        for number in range(100):
            heard = ask(process, "/problems", SAMPLED, f"X-Request-Id: {mood}-{number}")
            assert (200, f"{mood}-{number}") == (heard.status, heard.headers["x-request-id"])
        process.child.send_signal(signal.SIGTERM)
        assert 0 == process.child.wait(30), process.log()
    assert "request_failed" not in process.log()
    assert process.log().count("\n") < 60, process.log()


def tell_some(count: int, **given: Any) -> None:
    """Tell of some frequent things, as a process of its own would."""
    with telemetry.telling("some") as tell:
        assert tell is not None
        for number in range(count):
            tell(Span(f"s{number}", *ended_now(0.5), {}, is_frequent=True)._replace(**given))


def names(collector: Collector, service: str = "some") -> list[str]:
    """Return the names of what a process has told."""
    found = [one for one in collector.spans() if service == one["resource"]["service.name"]]
    return [one["name"] for one in found]


def test_few_of_what_is_frequent(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of bookings few begin a trace; all that belong to one are told, unless it is not sampled."""
    before = len(names(collector))
    monkeypatch.setattr(telemetry, "FREQUENT_SHARE", 0.0)
    tell_some(9)
    tell_some(9, parent=f"00-{TRACE}-{PARENT}-00")
    assert before == len(names(collector))
    tell_some(2, parent=f"00-{TRACE}-{PARENT}-01")
    tell_some(3, is_frequent=False)
    assert ["s0", "s1", "s0", "s1", "s2"] == names(collector)[before:]
    # What the environment says goes before.
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_on")
    tell_some(1)
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    tell_some(1, is_frequent=False)
    assert before + 6 == len(names(collector))


def test_a_bad_span_is_lost_alone(collector: Collector) -> None:
    """What cannot be told is a line in the log."""
    before = len(names(collector))
    tell_some(1, started_ns="never", is_frequent=False)
    tell_some(1, is_frequent=False, error="dead")
    assert "s0" in names(collector)[before:]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({ENDPOINT: "collector:4318"}, "is not a web address"),
        ({ENDPOINT: "ftp://collector"}, "is not a web address"),
        ({ENDPOINT: "http://c:4318", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "http/protobuf"),
    ],
)
def test_what_cannot_be_is_said(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], said: str
) -> None:
    """An address or a protocol that is none is told at the start, and not by silence."""
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=said):
        telemetry.require()


def test_without_the_extra(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Who wants spans and has no OpenTelemetry is told what to install; the process ends with 2."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with telemetry.telling("api") as tell:
        assert tell is None
    monkeypatch.setenv(ENDPOINT, "http://127.0.0.1:4318")
    with pytest.raises(SystemExit) as ended, telemetry.telling("api"):
        pass
    assert 2 == ended.value.code
    assert "api: OTEL_EXPORTER_OTLP_ENDPOINT is set" in (said := capsys.readouterr().err)
    assert "evently[otel]" in said
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    with telemetry.telling("api") as tell:
        assert tell is None


def test_off_nothing_is_imported() -> None:
    """Where nobody wants spans, nothing of OpenTelemetry needs to be there."""
    # By itself the library of Redis imports what of it there is.
    code = (
        "import sys\n"
        "sys.modules['opentelemetry'] = None\n"
        "import api.__main__, persister.__main__, notifier.__main__\n"
        "from evently.telemetry import telling\n"
        "with telling('api') as tell:\n"
        "    assert tell is None\n"
        "assert ['opentelemetry'] == [one for one in sys.modules if 'opentelemetry' in one]\n"
    )
    environ = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    subprocess.run([sys.executable, "-c", code], env=environ, check=True, timeout=60)
