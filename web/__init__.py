"""Pages for people: the second face of the use cases, beside the API."""
