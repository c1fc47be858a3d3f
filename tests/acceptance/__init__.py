"""Whole processes: the service as a user starts it, under load and under SIGKILL."""
