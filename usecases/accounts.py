"""
Accounts: register, sign in, see and change oneself.

Nothing here tells whether an address has an account (S7). To register always makes one, usable at
once: it has the address if nobody had it, and else only claims it, until a letter to the address is
opened from it (docs/decisions/0020-an-address-is-claimed-then-proved.md).
"""

from __future__ import annotations

import secrets

from store import proofs, users
from store.links import Link
from usecases import acts, sessions, stepup, text, told
from usecases.asked import (
    Address,
    LetterToken,
    Login,
    MeChange,
    NewEmail,
    NewPassword,
    PasswordChange,
    Register,
)
from usecases.denials import Denied, Why, as_value, invalid, not_found
from usecases.passwords import Match
from usecases.services import Services
from usecases.tokens import Principal

#: How a session is opened here.
METHOD = "password"
TOKEN_BYTES = 32
#: How long a letter's token is good, in seconds.
PROOF_LIFE_S = 3 * 86_400
RESET_LIFE_S = 3_600
#: Stands where no letter goes anywhere.
_NOBODY = "nobody"


@as_value
async def register(
    services: Services, asked: Register, origin: str = "", device: str = ""
) -> told.Session:
    """
    Make an account and sign in; a letter asks to prove its address.

    Args:
        origin: A word for the address that it is asked from; only so many are made from one.
    """
    await services.attempts.register(origin)
    user_id = await users.register(
        services.pools.sign_in,
        email=asked.email,
        # An account of older code may have another form of the address than is kept now.
        forms=text.email_forms(asked.email),
        name=asked.name,
        password_hash=await services.passwords.hash(asked.password),
        link=_link("verify", asked.email),
    )
    return await sessions.open(services, user_id, method=METHOD, device=device)


@as_value
async def login(
    services: Services, asked: Login, origin: str = "", device: str = ""
) -> told.Session:
    """
    Sign in whose address and password these are.

    Two accounts may be meant: who has the address, and who claimed it last. The work is that of two
    passwords, whether one of them is there or both or none (S7).

    Args:
        origin: A word for the network address that it is asked from.
    """
    tried = await services.attempts.begin(asked.email, origin)
    pool, forms = services.pools.sign_in, text.email_forms(asked.email)
    found = [await users.by_email(pool, forms), await users.by_claim(pool, forms[0])]
    hashes = [user.password_hash if user is not None else None for user in found]
    match = await services.passwords.verify(_forms(asked.password), *hashes)
    await services.attempts.end(tried, is_right=match is not None)
    user = found[match.number] if match is not None else None
    if match is None or user is None:
        raise Denied(Why.WRONG_CREDENTIALS)
    if user.disabled_at is not None:
        raise Denied(Why.ACCOUNT_DISABLED)
    await _keep_fresh(services, user, match, asked.password)
    return await sessions.open(
        services, user.id, method=METHOD, device=device, version=user.token_version
    )


async def _keep_fresh(services: Services, user: users.User, match: Match, password: str) -> None:
    """Hash a password anew that is kept as it would not be today (S6)."""
    if match.is_stale:
        new = await services.passwords.hash(text.prepared(password))
        await users.hash_anew(services.pools.sign_in, user.id, old=user.password_hash, new=new)


def _forms(password: str) -> list[str]:
    """Return a password as it is hashed; then as older code hashed it, as it was typed."""
    return list(dict.fromkeys([text.prepared(password), password]))


@as_value
async def me(services: Services, person: Principal) -> told.Me:
    """Return the person's account."""
    return _view(await _need(services, person))


@as_value
async def change(services: Services, person: Principal, asked: MeChange) -> told.Me:
    """Change the person's name or language; what is not named stays."""
    pool = services.pools.sign_in
    await users.change(pool, person.user_id, name=asked.name, language=asked.language)
    return _view(await _need(services, person))


@as_value
async def change_password(
    services: Services, person: Principal, asked: PasswordChange, origin: str = "", device: str = ""
) -> told.Session:
    """
    Give the person a new password and a new session; all others are over, and all access tokens.

    Who has none yet gets the first soon after a sign-in; who has forgotten the old one asks for a
    letter (`forget_password`).
    """
    pointer = "/current_password"
    user = await prove_oneself(services, person, asked.current_password, pointer, origin)
    if asked.current_password is None and user.has_password:
        raise invalid(pointer, "is needed: the account has a password")
    password_hash = await services.passwords.hash(asked.new_password)
    return await sessions.renew(
        services, user, password_hash=password_hash, method=METHOD, device=device
    )


@as_value
async def forget_password(services: Services, asked: Address, origin: str = "") -> None:
    """Write a letter that lets somebody choose a password; the same for what is nobody's (S7)."""
    await services.attempts.write(origin)
    pool = services.pools.sign_in
    user = await users.by_email(pool, text.email_forms(asked.email))
    user_id, email = (None, _NOBODY) if user is None else (user.id, user.email)
    await proofs.ask_reset(pool, user_id, _link("reset", email, RESET_LIFE_S))


@as_value
async def reset_password(services: Services, asked: NewPassword) -> None:
    """
    Give the account of a letter a new password; all its sessions and access tokens are over.

    Its address is proved by that.
    """
    password_hash = await services.passwords.hash(asked.password)
    asking = acts.ASKING.get()()
    user_id = await proofs.reset(
        services.pools.sign_in,
        asked.token,
        password_hash,
        origin=asking.origin,
        request_id=asking.request_id,
    )
    if user_id is None:
        raise Denied(Why.LINK_OVER)
    services.revocations.wake()


@as_value
async def ask_for_proof(services: Services, person: Principal, origin: str = "") -> None:
    """Write the letter once more that asks to prove one's address; nothing if it is proved."""
    await services.attempts.write(origin)
    user = await _need(services, person)
    if user.email_verified_at is None:
        await proofs.ask(services.pools.sign_in, user.id, _link("verify", user.email))


@as_value
async def change_email(
    services: Services, person: Principal, asked: NewEmail, origin: str = ""
) -> None:
    """
    Write a letter to another address, which is the person's once they have opened it (`prove`).

    It is not told whether somebody has it; if so, the letter says that (S7).
    """
    user = await prove_oneself(services, person, asked.password, "/password", origin)
    await services.attempts.write(origin)
    await proofs.ask(services.pools.sign_in, user.id, _link("email", asked.email))


@as_value
async def prove(services: Services, person: Principal, asked: LetterToken) -> told.Me:
    """
    Take the token of a letter: the address that it went to is the person's.

    From the account that it was made for alone: who opens a letter that a stranger has caused
    does not prove the stranger's account.
    """
    if not await proofs.prove(services.pools.sign_in, person.user_id, asked.token):
        raise Denied(Why.LINK_OVER)
    return _view(await _need(services, person))


async def _need(services: Services, person: Principal) -> users.User:
    user = await users.by_id(services.pools.sign_in, person.user_id)
    if user is None:
        raise not_found()
    return user


async def prove_oneself(
    services: Services, person: Principal, password: str | None, pointer: str, origin: str
) -> users.User:
    """
    Return the person's account, once more proved to be theirs: a token alone is not enough.

    By the password, or without one by a recent sign-in (`stepup`): an account may have none. Who
    must sign in by a passkey has done so, either way.

    Who has a token guesses no more passwords than who signs in: the same attempts count.

    Args:
        pointer: Where the password stands in what was sent.

        origin: A word for the network address that it is asked from.
    """
    if password is None:
        await stepup.prove(services, person)
        return await _need(services, person)
    await stepup.prove_by_passkey(services, person)
    user = await _need(services, person)
    tried = await services.attempts.begin(user.email, origin)
    match = await services.passwords.verify(_forms(password), user.password_hash)
    await services.attempts.end(tried, is_right=match is not None)
    if match is None:
        raise Denied(Why.WRONG_CREDENTIALS, (pointer, "is wrong"))
    return user


def _link(purpose: str, email: str, life_s: int = PROOF_LIFE_S) -> Link:
    return Link(purpose, secrets.token_urlsafe(TOKEN_BYTES), email, life_s)


def _view(user: users.User) -> told.Me:
    return told.Me(
        id=user.id,
        email=user.email,
        email_verified=user.email_verified_at is not None,
        has_password=user.has_password,
        name=user.name,
        language=user.language,
        role=user.role,  # type: ignore[arg-type]  # The database's enum has the same values.
        created_at=user.created_at,
    )
