"""The notifier's metrics; docs/OPERATIONS.md says what to do about each."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

ENDED = Counter("evently_deliveries_total", "Attempts by how they ended", ["channel", "state"])
DOUBTS = Counter(
    "evently_deliveries_unknown_total", "Attempts of which nobody knows how they ended", ["channel"]
)
SECONDS = Histogram(
    "evently_delivery_seconds",
    "Time of one attempt",
    ["channel"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
)
PUSH_REFUSED = Counter(
    "evently_push_refused_total", "Pushes that a service refused for our keys or form", ["status"]
)
DEPTH = Gauge(
    "evently_deliveries_due", "Deliveries that are due", ["lane"], multiprocess_mode="mostrecent"
)
AGE_SECONDS = Gauge(
    "evently_deliveries_age_seconds",
    "Since when the oldest delivery is due",
    ["lane"],
    multiprocess_mode="mostrecent",
)
DEAD = Gauge(
    "evently_deliveries_dead", "Deliveries that wait for a human", multiprocess_mode="mostrecent"
)
PAPERS = Counter("evently_letter_papers_total", "Papers of letters by what became of them", ["how"])
FAILURES = Counter("evently_notifier_failures_total", "Work that failed", ["what"])
