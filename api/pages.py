"""The frame of the API's own pages: no script, one style within, and no outside requests."""

from __future__ import annotations

import base64
import hashlib
import re
from html import escape

_STYLE = """
:root { color-scheme: light dark; font: 1.0625rem/1.5 system-ui, sans-serif }
body { max-width: 38rem; margin: 0 auto; padding: 1.5rem 1rem 3rem; overflow-wrap: anywhere }
body.wide { max-width: 54rem }
h1 { font-size: 1.5rem; line-height: 1.25; margin: .5rem 0 1rem }
h2 { font-size: 1rem; margin: 1.5rem 0 .25rem }
.wide h2 { font-size: 1.25rem; margin-top: 2.5rem }
h3 { font-size: 1rem; margin: 2rem 0 .25rem }
h4 { font-size: .9375rem; margin: 1rem 0 .25rem }
p { margin: 0 0 .5rem }
ul { list-style: none; padding: 0; margin: 1rem 0 0 }
li, nav { border-top: 1px solid #8885 }
li a, nav a { display: block; padding: .625rem 0 }
nav { margin-top: 2rem }
pre { overflow-x: auto; padding: .75rem; border: 1px solid #8885; font-size: .8125rem }
table { border-collapse: collapse; width: 100%; font-size: .9375rem }
th, td { border-top: 1px solid #8885; padding: .375rem .5rem .375rem 0; text-align: left }
th, td { vertical-align: top; font-weight: normal }
summary { padding: .625rem 0 }
.small { display: block; opacity: .75; font-size: .9375rem }
.whole { white-space: nowrap }
iframe { width: 100%; height: 60vh; border: 1px solid #8885; background: #fff }
"""
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{css}</style>
</head>
<body{kind}>
{body}
</body>
</html>
"""
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
#: Besides its style, by its hash, a page has and loads nothing.
HEADERS = {
    "Cache-Control": "public, max-age=3600",
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
}


def html(title: str, body: str, *, is_wide: bool = False) -> str:
    """
    Return a page.

    Args:
        title: Text that is fit for HTML already, as all of *body* is.
    """
    kind = ' class="wide"' if is_wide else ""
    return _PAGE.format(title=title, css=_STYLE, body=body, kind=kind)


def prose(text: str) -> str:
    """Make a text fit for HTML; what stands in backticks becomes code."""
    return re.sub("`(.+?)`", r"<code>\1</code>", escape(text))
