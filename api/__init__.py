"""
HTTP over the use cases: parse, authenticate, hand over, answer. No rule but the form.

`api.routes` is the table of all routes with who may call each; `api.app` puts the parts together.
"""
