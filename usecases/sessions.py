"""
Sessions: signing in, staying signed in, seeing where one is, and ending it.

An access token is short-lived and of one session; its refresh token gets the next pair, once (S5).
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import secrets as random
from hashlib import blake2b

import structlog

from engine.ids import is_id
from store import sessions, users
from store.sessions import Secrets
from usecases import told
from usecases.denials import Denied, Why, as_value, not_found
from usecases.services import Services
from usecases.tokens import Principal

log = structlog.get_logger()

#: What a refresh token begins with, so that one that leaked is known for what it is.
PREFIX = "evr_"
#: What a browser's cookie begins with, and what goes before its parts as they are hashed.
COOKIE_PREFIX = "evc_"
_COOKIE = b"cookie:"
DEVICE_CHARS_MAX = 120
_PART_CHARS = (2 * sessions.PART_BYTES * 4 + 2) // 3


async def open(  # noqa: A001 - a session is opened
    services: Services, user_id: str, *, method: str, device: str, version: int | None = None
) -> told.Session:
    """
    Open a session for somebody who has proved who they are.

    Args:
        method: How: `password`, `openid`, `passkey`; 32 characters at most.

        device: What their device says of itself.

        version: Of the account's tokens when that was proved, where it may be over since, as a
            password is that is changed.

    Raises:
        Denied: the account is not there, or no longer; or the proof is over.
    """
    new = _new(services, user_id, method, device)
    made = await sessions.add(services.pools.sign_in, new, version=version)
    if made is None:
        raise Denied(Why.WRONG_CREDENTIALS)
    return _told(services, made, new.secrets)


async def renew(
    services: Services, user: users.User, *, password_hash: str, method: str, device: str
) -> told.Session:
    """Give an account a new password, and a new session in the place of all others."""
    new = _new(services, user.id, method, device)
    made = await sessions.renew(
        services.pools.sign_in, new, version=user.token_version, password_hash=password_hash
    )
    if made is None:  # It was changed at the same moment.
        raise Denied(Why.WRONG_CREDENTIALS)
    services.revocations.note(user.id, made.token_version)
    return _told(services, made, new.secrets)


def _new(services: Services, user_id: str, method: str, device: str) -> sessions.New:
    size = sessions.PART_BYTES
    secrets = Secrets(random.token_bytes(size), random.token_bytes(size))
    return sessions.New(user_id, secrets, method, device_name(device), services.session_life)


def _person(made: sessions.Session) -> Principal:
    """Return whose a session is."""
    return Principal(
        made.user_id,
        made.role,
        made.organizer_id,
        session_id=made.id,
        token_version=made.token_version,
        method=made.method,
        signed_in_s=int(made.opened_at.timestamp()),
    )


def _told(services: Services, made: sessions.Session, secrets: Secrets) -> told.Session:
    """Return the tokens of a session."""
    person = _person(made)
    left_s = (made.expires_at - dt.datetime.now(dt.UTC)).total_seconds()
    return told.Session(
        session_id=made.id,
        access_token=services.tokens.issue(person),
        expires_in=services.tokens.ttl_s,
        refresh_token=_text_of(secrets),
        refresh_expires_in=max(0, round(left_s)),
    )


@as_value
async def refresh(services: Services, token: str, key: str | None) -> told.Session:
    """
    Exchange a refresh token for the next one and an access token.

    A token that was exchanged before is a copy: its whole session ends, and its owner is told.
    Idempotency: the same request sent again with the same *key* gets the same refresh token again,
    until that is used.
    """
    before = _secrets_of(token)
    if before is None:
        raise Denied(Why.SESSION_OVER)
    pool, salt = services.pools.sign_in, random.token_bytes(16)
    after = _next(before, salt)
    life = services.session_life
    made = await sessions.exchange(pool, before, after, salt=salt, key=key, life=life)
    if made is not None:
        return _told(services, made, after)
    again = await sessions.exchanged_by(pool, before, key)
    if again is not None:
        return _told(services, again[0], _next(before, again[1]))
    ended = await sessions.end_family(pool, before, is_copied=True)
    if ended is not None:
        services.revocations.note(ended.id)
        log.warning("refresh token used twice", action="session_copied", user=ended.user_id)
    raise Denied(Why.SESSION_OVER)


@as_value
async def put_in_cookie(services: Services, token: str) -> str:
    """
    Return what a browser's cookie holds for a session that was opened just now.

    Its refresh token *token* is over by that, so that one secret opens it and not two. The session
    stays what it is: it is listed and ended with all others.
    """
    before = _secrets_of(token)
    if before is None:
        raise Denied(Why.SESSION_OVER)
    size = sessions.PART_BYTES
    cookie = Secrets(random.token_bytes(size), random.token_bytes(size), _COOKIE)
    if await sessions.put_in_cookie(services.pools.sign_in, before, cookie) is None:
        raise Denied(Why.SESSION_OVER)
    return _text_of(cookie, COOKIE_PREFIX)


async def of_cookie(services: Services, text: str) -> Principal | None:
    """Return whom a browser's cookie signs in; None if it is none, or no longer good."""
    cookie = _secrets_of(text, COOKIE_PREFIX, _COOKIE)
    if cookie is None:
        return None
    pool, life = services.pools.sign_in, services.session_life
    found = await sessions.use_cookie(pool, cookie, life=life)
    return None if found is None else services.tokens.confined(_person(found))


@as_value
async def log_out(services: Services, person: Principal | None, token: str | None) -> None:
    """
    End a session: that of a refresh token, which may be repeated, or else of the access token.

    An access token of no session ends with all others that its account has.
    """
    pool = services.pools.sign_in
    if token is not None:
        secrets = _secrets_of(token)
        ended = await sessions.end_family(pool, secrets, is_copied=False) if secrets else None
        if ended is not None:
            services.revocations.note(ended.id)
    elif person is None:
        raise Denied(Why.SESSION_OVER)
    elif person.session_id is None:
        version = await users.end_tokens(pool, person.user_id)
        if version is not None:
            services.revocations.note(person.user_id, version)
    elif await sessions.end(pool, person.user_id, person.session_id):
        services.revocations.note(person.session_id)


@as_value
async def mine(services: Services, person: Principal) -> list[told.SignedIn]:
    """Return where a person is signed in, the last used first."""
    return [
        told.SignedIn(
            id=one.id,
            method=one.method,
            device=one.device,
            opened_at=one.opened_at,
            used_at=one.used_at,
            expires_at=one.expires_at,
            is_current=one.id == person.session_id,
        )
        for one in await sessions.of_user(services.pools.sign_in, person.user_id)
    ]


@as_value
async def end(services: Services, person: Principal, session_id: str) -> None:
    """End one of a person's sessions; one of others is not there (S8)."""
    is_named = is_id("ses", session_id)
    if not is_named or not await sessions.end(services.pools.sign_in, person.user_id, session_id):
        raise not_found()
    services.revocations.note(session_id)


@as_value
async def end_others(services: Services, person: Principal) -> None:
    """End all of a person's sessions but the one that asks. May be repeated."""
    pool = services.pools.sign_in
    for session_id in await sessions.end_others(pool, person.user_id, person.session_id):
        services.revocations.note(session_id)


def device_name(text: str) -> str:
    """Return what a device says of itself as it is kept: one line of visible characters."""
    plain = "".join(char if char.isascii() and char.isprintable() else " " for char in text)
    return " ".join(plain.split())[:DEVICE_CHARS_MAX].rstrip()


def _next(before: Secrets, salt: bytes) -> Secrets:
    """Return the token behind another: made of it and of a salt, neither of which is enough."""
    own = blake2b(before.own, key=salt, digest_size=sessions.PART_BYTES).digest()
    return Secrets(before.family, own)


def _text_of(secrets: Secrets, prefix: str = PREFIX) -> str:
    raw = base64.urlsafe_b64encode(secrets.family + secrets.own)
    return prefix + raw.decode().rstrip("=")


def _secrets_of(token: str, prefix: str = PREFIX, face: bytes = b"") -> Secrets | None:
    """Read a refresh token, or a cookie; None if it is none."""
    text = token.removeprefix(prefix)
    if len(token) != len(prefix) + _PART_CHARS or text == token or not text.isascii():
        return None
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    # Of two spellings of the same bytes one alone is a token.
    secrets = Secrets(raw[: sessions.PART_BYTES], raw[sessions.PART_BYTES :], face)
    return secrets if _text_of(secrets, prefix) == token else None
