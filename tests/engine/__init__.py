"""The engine: pure parts alone, the rest against a real server."""
