"""Tests of how events are found, and of how catalogues come in and go out."""
