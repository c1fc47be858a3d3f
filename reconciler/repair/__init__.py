"""Putting right what a check found, by what the journal says."""
