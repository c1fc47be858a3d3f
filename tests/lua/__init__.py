"""Scripts, called directly on a real server."""
