"""
Load on a running Evently: the demo, Locust scenarios, benchmarks and fault rigs.

Everything here speaks HTTP to 127.0.0.1 alone, ends by itself, and judges what it did.
"""
