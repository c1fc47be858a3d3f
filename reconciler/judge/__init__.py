"""Whether the stores agree: PostgreSQL with its own journal, and Redis with both."""
