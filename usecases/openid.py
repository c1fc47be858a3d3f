"""
OpenID Connect: sign in by the word of a provider, and join an identity to one's account.

An account is found by the identity (issuer and subject), never by an address alone. An identity
that nobody has yet is joined to the account of its address only if both sides have verified that
address, and the account has no more rights than a buyer's: whoever could have a provider vouch for
an address of staff would be staff. Everybody else joins it when signed in. The address that a
provider tells changes no account; if another account has it, that one is left alone.
"""

from __future__ import annotations

import re
import secrets

from store import users, ways_in
from store.users import User
from store.ways_in import Removal
from usecases import acts, sessions, stepup, text, told
from usecases.asked import OpenIdReturn
from usecases.attempts import Try
from usecases.denials import Denied, Why, as_value, not_found
from usecases.flows import TTL_S, FlowKind, spend
from usecases.openid_profiles import name_of, verified_email
from usecases.openid_provider import Provider, Word
from usecases.services import Services
from usecases.tokens import Principal

METHOD = "openid"
_ERROR = re.compile(r"[a-z_]{1,64}")


def providers(services: Services) -> list[told.OpenIdProvider]:
    """Return the providers that one can sign in by."""
    found = services.openid.values()
    return [told.OpenIdProvider(name=one.name, issuer=one.issuer) for one in found]


@as_value
async def begin(services: Services, name: str) -> told.OpenIdFlow:
    """Begin to sign in: where to go, and the token to come back with."""
    return await _begin(services, name, FlowKind.OPENID)


@as_value
async def begin_link(services: Services, person: Principal, name: str) -> told.OpenIdFlow:
    """Begin to join an identity to one's account; only soon after signing in."""
    _provider(services, name)
    await stepup.prove(services, person)
    return await _begin(services, name, FlowKind.LINK, user_id=person.user_id)


@as_value
async def finish(
    services: Services, name: str, asked: OpenIdReturn, *, origin: str, device: str
) -> told.Session | Denied:
    """
    End a sign-in: find whose identity it is, or make an account for it.

    Atomicity: the flow is spent once the provider's word is proved, and then the session opened.

    Args:
        origin: A word for the address that it is asked from; what is missed, and accounts, are
            limited by it.

        device: What the session's list is to call where it was opened.
    """
    provider = _provider(services, name)
    word, tried = await _proved(services, provider, asked, FlowKind.OPENID, origin)
    user = await _account_of(services, provider, word, origin)
    await services.attempts.end_proof(tried, user.email)
    return await sessions.open(
        services, user.id, method=METHOD, device=device, version=user.token_version
    )


@as_value
async def finish_link(
    services: Services, person: Principal, name: str, asked: OpenIdReturn, *, origin: str
) -> told.Identity:
    """
    End the joining of an identity to one's account.

    Args:
        origin: A word for the address that it is asked from; what is missed is limited by it.
    """
    provider = _provider(services, name)
    await stepup.prove_by_passkey(services, person)
    kind, user_id = FlowKind.LINK, person.user_id
    word, _ = await _proved(services, provider, asked, kind, origin, user_id=user_id)
    pool = services.pools.sign_in
    known = await ways_in.identity(pool, word.issuer, word.subject)
    if known is None:
        email = str(word.claims.get("email") or "")[: text.EMAIL_CHARS_MAX]
        known = await ways_in.join(
            pool,
            acts.keeper(person),
            user_id=person.user_id,
            issuer=word.issuer,
            subject=word.subject,
            email=email if email.isprintable() else "",
            version=person.token_version,
        )
    if known is None:
        raise Denied(Why.TOO_MANY_WAYS_IN)
    if known.user_id != person.user_id:
        raise Denied(Why.IDENTITY_TAKEN)
    return _told(services, known)


@as_value
async def identities(services: Services, person: Principal) -> list[told.Identity]:
    """Return one's identities at providers, the oldest first."""
    rows = await ways_in.identities(services.pools.sign_in, person.user_id)
    return [_told(services, row) for row in rows]


@as_value
async def unlink(services: Services, person: Principal, identity_id: str) -> None:
    """Take an identity from one's account, unless it is the last way in."""
    await stepup.prove(services, person)
    pool = services.pools.sign_in
    removal = await ways_in.remove_identity(
        pool, person.user_id, identity_id, by=acts.keeper(person)
    )
    if removal is Removal.UNKNOWN:
        raise not_found()
    if removal is Removal.LAST:
        raise Denied(Why.LAST_WAY_IN)


async def _begin(
    services: Services, name: str, kind: FlowKind, *, user_id: str = ""
) -> told.OpenIdFlow:
    provider = _provider(services, name)
    flow, token = services.flows.begin(kind, provider=name, user_id=user_id)
    words = {word: services.flows.word_of(flow, word) for word in ("state", "nonce", "verifier")}
    url = await provider.authorization_url(**words)
    return told.OpenIdFlow(flow=token, authorization_url=url, expires_in=TTL_S)


async def _proved(
    services: Services,
    provider: Provider,
    asked: OpenIdReturn,
    kind: FlowKind,
    origin: str,
    *,
    user_id: str = "",
) -> tuple[Word, Try]:
    """
    Return the provider's word for who came back; raises `Denied` unless all is proved.

    What is not proved counts; that a provider is away, or has told us of no code, does not.
    """
    tried = await services.attempts.begin_proof(origin)
    try:
        return await _word(services, provider, asked, kind, user_id), tried
    except Denied as denied:
        if denied.why is not Why.PROVIDER_AWAY and not asked.error:
            await services.attempts.end_proof(tried, None)
        raise


async def _word(
    services: Services, provider: Provider, asked: OpenIdReturn, kind: FlowKind, user_id: str
) -> Word:
    flows = services.flows
    flow = flows.read(asked.flow, kind)
    if flow is None or (flow.provider, flow.user_id) != (provider.name, user_id):
        raise Denied(Why.SIGN_IN_OVER)
    if not flows.is_word_of(flow, "state", asked.state):
        raise Denied(Why.SIGN_IN_OVER)
    if asked.error or not asked.code:
        error = asked.error if _ERROR.fullmatch(asked.error) else ""
        detail = f"The provider says: {error}." if error else ""
        raise Denied(Why.SIGN_IN_REFUSED, detail=detail)
    word = await provider.word(
        asked.code,
        issuer=asked.iss,
        nonce=flows.word_of(flow, "nonce"),
        verifier=flows.word_of(flow, "verifier"),
    )
    await spend(services.pools.sign_in, flow)
    return word


async def _account_of(services: Services, provider: Provider, word: Word, origin: str) -> User:
    """Return the account that an identity leads to, after making one if it must be."""
    pool = services.pools.sign_in
    # Twice, since somebody may make the same account meanwhile.
    for _ in range(2):
        known = await ways_in.identity(pool, word.issuer, word.subject)
        if known is not None:
            return await _let_in(services, known.user_id)
        profile = await provider.profile(word)
        email = verified_email(profile)
        if email is None:
            raise Denied(Why.ADDRESS_UNVERIFIED)
        own = {"issuer": word.issuer, "subject": word.subject, "email": email}
        user = await users.by_email(pool, text.email_forms(email))
        if user is None:
            await services.attempts.register(origin)
            password_hash = await services.passwords.hash(secrets.token_urlsafe(32))
            name = name_of(profile, email)
            made = await ways_in.make_account(pool, name=name, password_hash=password_hash, **own)
            if made is not None:
                return await _let_in(services, made)
        elif user.disabled_at is not None:
            raise Denied(Why.ACCOUNT_DISABLED)
        elif await ways_in.join(
            pool, None, user_id=user.id, version=user.token_version, by_address=True, **own
        ):
            return user
    raise Denied(Why.LINK_NEEDED)


async def _let_in(services: Services, user_id: str) -> User:
    """Return an account that somebody has proved to be theirs, unless it is kept out."""
    user = await users.by_id(services.pools.sign_in, user_id)
    if user is None:
        raise Denied(Why.WRONG_CREDENTIALS)
    if user.disabled_at is not None:
        raise Denied(Why.ACCOUNT_DISABLED)
    return user


def _provider(services: Services, name: str) -> Provider:
    if name not in services.openid:
        raise not_found()
    return services.openid[name]


def _told(services: Services, row: ways_in.Identity) -> told.Identity:
    named = [one.name for one in services.openid.values() if one.issuer == row.issuer]
    return told.Identity(
        id=row.id,
        provider=named[0] if named else None,
        issuer=row.issuer,
        email=row.email or None,
        created_at=row.created_at,
        used_at=row.used_at,
    )
