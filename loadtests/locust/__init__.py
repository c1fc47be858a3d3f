"""
Locust scenarios: what a load tester knows, against any running Evently, with a verdict at the end.

`locustfile.py` is used as any locustfile; `python -m loadtests.locust` (`make loadtest`) starts an
Evently of its own around it. See `loadtests/README.md`.
"""
