"""One module per kind of thing; each handler parses, calls one use case, and answers."""
