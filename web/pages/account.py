"""Ways in: signing in and out, registering, and the letters that prove an address or a person."""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp import web

from api.addresses import origin_of
from api.admission import Work
from api.answers import problem_of
from api.http import SERVICES, device_of
from api.problems import Problem
from usecases import accounts, openid, sessions, told
from usecases.asked import Address, LetterToken, Login, MeChange, NewPassword, Register
from usecases.denials import Denied
from web import cookies, forms
from web.asking import Mistakes, mistakes_of, understood
from web.rendering import page
from web.serving import SIGN_IN, PageRoute, person_of, see_other, visit_of

REGISTER, RESET, VERIFY = "/register", "/reset", "/me/verify"
_LETTER_MARK = "token="


async def sign_in_form(request: web.Request) -> web.StreamResponse:
    """Ask for address and password; who is signed in already goes on at once."""
    to = forms.local_path(request.query.get("next", "/"))
    if visit_of(request).person is not None:
        return see_other(to)
    return sign_in_page(request, to)


def sign_in_page(
    request: web.Request, to: str, mistakes: Mistakes | None = None, *, email: str = ""
) -> web.Response:
    """Return the page that asks who somebody is, by each way that there is."""
    found = mistakes or Mistakes([], 200)
    return page(
        request,
        "account/sign_in.html",
        status=found.status,
        to=to,
        email=email,
        mistakes=found.listed,
        is_reset="reset" in request.query,
        providers=openid.providers(request.app[SERVICES]),
    )


async def sign_in(request: web.Request) -> web.StreamResponse | Problem:
    """Sign in by password, and go on where one was led here from."""
    fields = await forms.read(request)
    email, password = fields.get("email", "").strip(), fields.get("password", "")
    to = forms.local_path(fields.get("next", "/"))
    made = await accounts.login(
        request.app[SERVICES],
        Login(email=email[:254], password=password[:1024]),
        origin_of(request),
        device_of(request),
    )
    if isinstance(made, Denied):
        return sign_in_page(request, to, mistakes_of(request, made, "email"), email=email)
    return await go_on(request, made, to)


async def go_on(
    request: web.Request, made: told.Session, to: str, *, language: str = ""
) -> web.StreamResponse | Problem:
    """
    Put a session that was opened just now into the browser's cookie, and lead on.

    Args:
        language: Of a new account, in which letters to it are written; empty: as it is.
    """
    services = request.app[SERVICES]
    cookie = await sessions.put_in_cookie(services, made.refresh_token)
    if isinstance(cookie, Denied):
        return problem_of(cookie)
    before = visit_of(request).person
    if before is not None:  # One browser has one session.
        await sessions.log_out(services, before, None)
    if language:
        person = await sessions.of_cookie(services, cookie)
        if person is not None:
            await accounts.change(services, person, MeChange(language=language))
    response = see_other(to)
    life_s = services.session_life.most_s
    cookies.give(response, request.app, cookies.SESSION, cookie, life_s=life_s)
    cookies.take_back(response, request.app, cookies.GUEST)
    return response


async def sign_out(request: web.Request) -> web.StreamResponse | Problem:
    """End the session, here and in the list of sessions."""
    await forms.read(request)
    person = visit_of(request).person
    if person is not None:
        ended = await sessions.log_out(request.app[SERVICES], person, None)
        if isinstance(ended, Denied):
            return problem_of(ended)
    response = see_other("/")
    cookies.take_back(response, request.app, cookies.SESSION)
    return response


async def register_form(request: web.Request) -> web.StreamResponse:
    """Ask for what an account needs: name, address, password."""
    to = forms.local_path(request.query.get("next", "/me"))
    if visit_of(request).person is not None:
        return see_other(to)
    return page(request, "account/register.html", to=to, given={}, mistakes=[])


async def register(request: web.Request) -> web.StreamResponse | Problem:
    """Make an account, sign in, and go on; nothing tells whether the address has one (S7)."""
    fields = await forms.read(request)
    to = forms.local_path(fields.get("next", "/me"))
    given = {name: fields.get(name, "") for name in ("email", "password", "name")}
    asked = understood(request, Register, given)
    if not isinstance(asked, Mistakes):
        services = request.app[SERVICES]
        made = await accounts.register(services, asked, origin_of(request), device_of(request))
        if not isinstance(made, Denied):
            return await go_on(request, made, to, language=visit_of(request).language)
        asked = mistakes_of(request, made, "email")
    shown = given | {"password": ""}
    return page(
        request,
        "account/register.html",
        status=asked.status,
        to=to,
        given=shown,
        mistakes=asked.listed,
    )


def _reset_page(
    request: web.Request, mistakes: Mistakes | None = None, *, email: str = "", token: str = ""
) -> web.Response:
    found = mistakes or Mistakes([], 200)
    return page(
        request,
        "account/reset.html",
        status=found.status,
        email=email,
        token=token,
        mistakes=found.listed,
    )


async def reset_form(request: web.Request) -> web.StreamResponse:
    """Ask for the address of a lost password, and for the code of the letter that then comes."""
    return _reset_page(request)


async def ask_for_reset(request: web.Request) -> web.StreamResponse:
    """Have a letter written; the answer is the same whether the address has an account (S7)."""
    fields = await forms.read(request)
    email = fields.get("email", "").strip()
    asked = understood(request, Address, {"email": email})
    if not isinstance(asked, Mistakes):
        services = request.app[SERVICES]
        denied = await accounts.forget_password(services, asked, origin_of(request))
        if denied is None:
            return see_other(f"{RESET}/sent")
        asked = mistakes_of(request, denied, "email")
    return _reset_page(request, asked, email=email)


async def reset_sent(request: web.Request) -> web.StreamResponse:
    """Say what happens next."""
    return page(request, "account/sent.html")


async def reset(request: web.Request) -> web.StreamResponse:
    """Take the code of a letter and a new password; all sessions of the account are over."""
    fields = await forms.read(request)
    token = letter_token(fields)
    asked = understood(
        request, NewPassword, {"token": token, "password": fields.get("password", "")}
    )
    if not isinstance(asked, Mistakes):
        denied = await accounts.reset_password(request.app[SERVICES], asked)
        if denied is None:
            return see_other(f"{SIGN_IN}?reset")
        asked = mistakes_of(request, denied, "token")
    return _reset_page(request, asked, token=token)


async def verify_form(request: web.Request) -> web.StreamResponse | Problem:
    """Take the code of a letter, which a script finds behind the `#` of the address."""
    return await _verify_page(request)


async def _verify_page(
    request: web.Request, mistakes: Mistakes | None = None
) -> web.Response | Problem:
    found = mistakes or Mistakes([], 200)
    me = await accounts.me(request.app[SERVICES], person_of(request))
    if isinstance(me, Denied):
        return problem_of(me)
    return page(request, "account/verify.html", status=found.status, me=me, mistakes=found.listed)


async def verify(request: web.Request) -> web.StreamResponse | Problem:
    """Prove the address that a letter went to."""
    fields = await forms.read(request)
    person = visit_of(request).person
    if person is None:
        return see_other(f"{SIGN_IN}?next={VERIFY}")
    asked = understood(request, LetterToken, {"token": letter_token(fields)})
    if not isinstance(asked, Mistakes):
        proved = await accounts.prove(request.app[SERVICES], person, asked)
        if not isinstance(proved, Denied):
            return see_other("/me?done=verified")
        asked = mistakes_of(request, proved, "token")
    return await _verify_page(request, asked)


async def ask_for_proof(request: web.Request) -> web.StreamResponse | Problem:
    """Have the letter written once more that proves one's address."""
    await forms.read(request)
    person = visit_of(request).person
    if person is None:
        return see_other(f"{SIGN_IN}?next={VERIFY}")
    denied = await accounts.ask_for_proof(request.app[SERVICES], person, origin_of(request))
    if denied is not None:
        return await _verify_page(request, mistakes_of(request, denied, "token"))
    return see_other("/me?done=letter")


def letter_token(fields: Mapping[str, str]) -> str:
    """Return the code of a letter: what was pasted may be the whole link."""
    return fields.get("token", "").strip().rpartition(_LETTER_MARK)[2]


ROUTES = (
    PageRoute("GET", SIGN_IN, sign_in_form, Work.SIGN_INS),
    PageRoute("POST", SIGN_IN, sign_in, Work.SIGN_INS),
    PageRoute("POST", "/sign-out", sign_out, Work.SIGN_INS),
    PageRoute("GET", REGISTER, register_form, Work.SIGN_INS),
    PageRoute("POST", REGISTER, register, Work.SIGN_INS),
    PageRoute("GET", RESET, reset_form, Work.SIGN_INS),
    PageRoute("POST", RESET, ask_for_reset, Work.SIGN_INS),
    PageRoute("GET", f"{RESET}/sent", reset_sent),
    PageRoute("POST", f"{RESET}/password", reset, Work.SIGN_INS),
    PageRoute("GET", VERIFY, verify_form, Work.SIGN_INS, needs_person=True),
    PageRoute("POST", VERIFY, verify, Work.SIGN_INS),
    PageRoute("POST", f"{VERIFY}/letter", ask_for_proof, Work.SIGN_INS),
)
