"""
HTTP over the engine: parse, authenticate, validate, hand over, answer. No business rule.

`api.routes` is the table of all routes with who may call each; `api.app` puts the parts together.
"""
