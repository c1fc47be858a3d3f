"""One module per kind of thing; each handler parses, calls one room below, and answers."""
