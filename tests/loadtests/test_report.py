"""The report: one page that shows every measure, with plots that are drawn right."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from rich.console import Console

from loadtests.bench import report
from loadtests.bench.compare import compare
from loadtests.bench.contract import TARGETS, Result, Run, document, result_of, this_machine
from loadtests.bench.growth import slope_of
from loadtests.bench.plot import Axis, line_chart, short

SVG = "{http://www.w3.org/2000/svg}"
LATENCY = {"p50": 1.0, "p90": 2.0, "p99": 3.0, "p999": 4.0, "max": 5.0}
POINTS = {
    point: {
        "value": 0.5,
        "runs": [0.5] * 3,
        "cpu_ratio": 0.9,
        "cpu_ratios": [0.9] * 3,
        "sides": [{"persisted": {"lag": [(0.0, 0), (1.0, 50), (2.0, 0)]}}],
    }
    for point in ("peak", "256", "64")
}
DETAILS: dict[str, dict[str, Any]] = {
    "P1": {
        "curve": [{"connections": n, "bare": 2.0 * n, "booking": 1.0 * n} for n in (1, 4)],
        "points": POINTS,
    },
    "P2": {"points": POINTS},
    "P7": {"connections": 10, "rows": [{"fraction": 0.5, "latency_ms": LATENCY}] * 3},
}
GROWTH = {
    "commit": "abc",
    "charts": [
        {
            "title": "Cost <of> events",
            "x": "events",
            "y": "µs",
            "slope": "flat: +1.0%",
            "rows": [{"at": 1, "total": 5.0}, {"at": 1000, "total": 6.0}],
        }
    ],
}


@pytest.fixture
def results() -> dict[str, Result]:
    """Return a result of every measure, P3 void."""
    runs = {name: [Run(1.0)] * 3 for name in TARGETS} | {"P3": [Run(9.0, "oversold")] * 3}
    return {name: result_of(name, runs[name], DETAILS.get(name, {})) for name in TARGETS}


def test_the_page_shows_all_measures_and_plots(results: dict[str, Result], tmp_path: Path) -> None:
    """JSON and HTML are written; the page names each measure and holds every plot."""
    found = document(results, machine=this_machine(), extra={"growth": GROWTH})
    path = report.write(found, is_whole=True, folder=tmp_path)
    page = path.with_suffix(".html").read_text()

    assert path == tmp_path / "latest.json"
    assert report.read(path)["commit"] == found["commit"]
    assert all(f"<td>{name}<td>" in page for name in TARGETS)
    assert page.count("<svg") == 4
    assert "Cost &lt;of&gt; events" in page
    assert "void" in page


def test_a_part_is_kept_apart(results: dict[str, Result], tmp_path: Path) -> None:
    """Some measures alone do not replace the last whole result."""
    found = document({"P4": results["P4"]}, machine=this_machine(), extra={})

    assert report.write(found, is_whole=False, folder=tmp_path).name == "partial.json"


def test_the_table_has_verdicts_and_changes(results: dict[str, Result]) -> None:
    """The terminal shows value, target and verdict, and the change where one was asked for."""
    console = Console(file=io.StringIO(), width=200)
    report.show(results, compare(results, results), console)
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()

    assert "void" in text
    assert re.search(r"P1 .*1 .*≥ 0\.85 .*met .*same \+0\.0%", text)
    assert re.search(r"P1 CPU .*0\.9 .*≥ 0\.85 .*met .*same", text)
    assert all(re.search(rf"P{n} at {at} .*0\.5 ", text) for n in (1, 2) for at in (256, 64))


def test_points_lie_where_their_values_say() -> None:
    """The chart is well-formed; equal steps are equal, tenfolds are equal on a log axis."""
    svg = line_chart("T & t", "x", "y", {"a": [(1, 0), (10, 5), (100, 10)]}, log_x=True)
    root = ElementTree.fromstring(svg)  # noqa: S314  Ours.
    line = root.find(f"{SVG}polyline")
    assert line is not None
    points = [tuple(map(float, point.split(","))) for point in line.attrib["points"].split()]
    (x1, y1), (x2, y2), (x3, y3) = points

    assert x2 - x1 == pytest.approx(x3 - x2, abs=0.2)
    assert y1 - y2 == pytest.approx(y2 - y3, abs=0.2)
    assert y1 > y2 > y3


def test_axes_have_round_ticks() -> None:
    """Ticks are round, and powers of ten where the axis is logarithmic."""
    assert Axis("", 0, 100).ticks() == [0, 20, 40, 60, 80, 100]
    assert Axis("", 1, 1_000_000, is_log=True).ticks() == [10.0**n for n in range(7)]
    assert [short(value) for value in (0, 0.25, 20_000, 1_500_000)] == ["0", "0.25", "20k", "1.5M"]


def test_nothing_to_draw_is_said() -> None:
    """A chart without points is a sentence."""
    assert "no data" in line_chart("Empty", "x", "y", {"a": []})


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        ([(1, 10.0), (10, 10.0), (100, 10.0)], "flat: +0.0%"),
        ([(1, 9.0), (10, 10.0), (100, 11.0)], "gentle: +10.0%"),
        ([(1, 1.0), (10, 2.0), (100, 3.0)], "steep: +50.0%"),
        ([(1, 5.0)], "not enough points"),
    ],
)
def test_slopes_are_named(points: list[tuple[float, float]], expected: str) -> None:
    """The slope is the change with each tenfold, in parts of the mean, and has a name."""
    assert slope_of(points).startswith(expected)
