"""
HTTP over the engine: parse, authenticate, validate, hand over, answer. No business rule.

`api.routes` is the table of all routes with who may call each; `api.app` puts the parts together.
"""

#: Version of the product; packaging reads it here, and an image has no package to ask.
VERSION = "0.1.0"
