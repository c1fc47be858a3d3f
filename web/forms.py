"""
Forms: that they come from a page of ours (S22), and what was typed into them.

A form is taken if the browser says that a page of our own sent it, and if it carries the token
that was rendered into it: made of the visitor's cookie, and masked anew each time, so that the
compressed page does not give it away. Each form carries an idempotency key as well: what is sent
twice is done once.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
import secrets
from collections.abc import Mapping
from hashlib import blake2b

from aiohttp import hdrs, web

from api.codes import CODES
from api.http import read_raw
from api.problems import Problem
from web.cookies import GUEST, SESSION, held

TOKEN_FIELD, KEY_FIELD = "form_token", "form_key"
FIELDS_MAX = 200
_BYTES = 16
_KEY = re.compile("[A-Za-z0-9_-]{16,64}")
_FORM = "application/x-www-form-urlencoded"


def new_key() -> str:
    """Return the idempotency key of a form that is rendered now."""
    return secrets.token_urlsafe(_BYTES)


def token_for(secret: str) -> str:
    """Return a token that shows that a form was rendered for who has a cookie of *secret*."""
    mask = secrets.token_bytes(_BYTES)
    return base64.urlsafe_b64encode(mask + _masked(_proof(secret), mask)).decode()


def _proof(secret: str) -> bytes:
    return blake2b(secret.encode(), digest_size=_BYTES, person=b"evently form").digest()


def _masked(proof: bytes, mask: bytes) -> bytes:
    return bytes(one ^ other for one, other in zip(proof, mask, strict=True))


def _is_token(text: str, secret: str) -> bool:
    try:
        raw = base64.b64decode(text, altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return False
    if len(raw) != 2 * _BYTES or not secret:
        return False
    return hmac.compare_digest(_masked(raw[_BYTES:], raw[:_BYTES]), _proof(secret))


def secret_of(request: web.Request) -> str:
    """Return the cookie that the forms of a visitor are bound to; empty if they have none."""
    return held(request, SESSION) or held(request, GUEST)


def _is_from_here(request: web.Request) -> bool:
    """Tell whether a page of our own sent a request, by what browsers say and pages cannot."""
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site == "same-origin"
    origin = request.headers.get(hdrs.ORIGIN, "")
    return origin.partition("://")[2] == request.headers.get(hdrs.HOST, "").lower() != ""


async def read(request: web.Request) -> Mapping[str, str]:
    """
    Return the fields of a form that a page of ours sent, the last of those of one name.

    Raises:
        Problem: 403 if it is not from a page of ours, not rendered for this visitor, or no form.
    """
    if not _is_from_here(request) or request.content_type != _FORM:
        raise _foreign()
    await read_raw(request)
    fields = await request.post()
    if len(fields) > FIELDS_MAX:
        raise _foreign()
    texts = {name: value for name, value in fields.items() if isinstance(value, str)}
    if not _is_token(texts.get(TOKEN_FIELD, ""), secret_of(request)):
        raise _foreign()
    return texts


def key_of(fields: Mapping[str, str]) -> str:
    """Return the idempotency key that a form carries; a new one where it was taken out."""
    key = fields.get(KEY_FIELD, "")
    return key if _KEY.fullmatch(key) else new_key()


def local_path(text: str) -> str:
    """Return a path of ours to go on at; `/` for whatever would lead elsewhere (S21)."""
    is_path = text.startswith("/") and not text.startswith(("//", "/\\"))
    return text if is_path and text.isprintable() and "\\" not in text else "/"


def _foreign() -> Problem:
    return Problem(403, "foreign_form", CODES["foreign_form"].title)
