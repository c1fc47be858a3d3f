"""Tests of the persister against real servers."""
