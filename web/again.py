"""
Asking again: an address at which a browser repeats by itself what a form asked for, with the same
key, while nobody can tell what became of it.

A form is sent once; `Refresh` can only ask for an address. So the address has all that the form
said, and a proof that it was made for this visitor's cookie: no other site can make one (S22). It
is good for a few minutes. What it repeats is done once, by the key in it.
"""

from __future__ import annotations

import hmac
import random
import time
from collections.abc import Mapping
from hashlib import blake2b
from urllib.parse import urlencode

from aiohttp import hdrs, web

from api.problems import Problem
from web import forms
from web.problems import sentence_of
from web.rendering import page

#: How long such an address is good, in seconds.
LIFE_S = 600
#: When it is asked for, in seconds: not by all at the same moment.
WAIT_S = (2, 5)
_PROOF_BYTES = 16
_UNTIL, _PROOF = "until", "proof"


def asks(
    request: web.Request, problem: Problem, path: str, fields: Mapping[str, str]
) -> web.StreamResponse:
    """
    Return the page that says that nobody knows yet, and asks again by itself.

    Args:
        path: What is asked, and *fields* what with, its key among them.
    """
    # It began when the form was sent: a page that asks for ever would help nobody.
    until = request.query.get(_UNTIL) or str(int(time.time()) + LIFE_S)
    given = {**fields, _UNTIL: until}
    text = urlencode(given)
    url = f"{path}?{text}&{_PROOF}={_proof(request, path, text)}"
    wait_s = random.randint(*WAIT_S)  # noqa: S311 - no secret
    response = page(
        request,
        "booking/unsure.html",
        status=503,
        problem=problem,
        sentence=sentence_of(problem.code, problem.status),
        again_url=url,
        wait_s=wait_s,
    )
    response.headers["Refresh"] = f"{wait_s}; url={url}"
    response.headers[hdrs.RETRY_AFTER] = str(wait_s)
    return response


def read(request: web.Request) -> Mapping[str, str] | None:
    """Return what such an address says; None if it was not made for this visitor, or is too old."""
    fields = dict(request.query)
    proof, until = fields.pop(_PROOF, ""), fields.get(_UNTIL, "")
    text = urlencode(fields)
    if not hmac.compare_digest(proof.encode(), _proof(request, request.path, text).encode()):
        return None
    return fields if int(until) > time.time() else None


def _proof(request: web.Request, path: str, text: str) -> str:
    secret = blake2b(forms.secret_of(request).encode(), person=b"evently again").digest()
    return blake2b(f"{path}?{text}".encode(), key=secret, digest_size=_PROOF_BYTES).hexdigest()
