"""Tests of the benchmark: its arithmetic, its load generators, and the rivals it compares with."""
