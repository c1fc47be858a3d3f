"""One event as its records leave it, as Redis should have it, and as Redis has it."""
