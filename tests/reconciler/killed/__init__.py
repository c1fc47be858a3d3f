"""Tests of the reconciler's check: what it must find, and that it finds nothing else."""
