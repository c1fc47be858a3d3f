"""
HTTP over the use cases: parse, authenticate, hand over, answer. No rule but the form.

`api.routes` is the table of all routes with who may call each; `api.app` puts the parts together.
"""

#: Version of the product; packaging reads it here, and an image has no package to ask.
VERSION = "0.1.0"
