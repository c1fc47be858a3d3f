"""Settings of one's account: name, language, address, password, sessions, all data, and its end."""

from __future__ import annotations

import datetime as dt
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import hdrs, web

from api.addresses import origin_of
from api.admission import Work
from api.http import SERVICES, device_of
from api.problems import Problem
from papers.words import LANGUAGES
from usecases import accounts, privacy, sessions, told
from usecases.asked import Erase, MeChange, NewEmail, PasswordChange
from usecases.denials import Denied
from web import cookies, forms
from web.asking import Mistakes, mistakes_of, understood
from web.pages.account import go_on
from web.pages.me import done_of
from web.rendering import page
from web.serving import PageRoute, needed, person_of, see_other

_NONE = Mistakes([], 200)


async def _shown(
    request: web.Request,
    template: str,
    mistakes: Mistakes = _NONE,
    given: Mapping[str, str] | None = None,
    **values: Any,
) -> web.StreamResponse:
    """Return a page of the account's settings, with what was typed into it."""
    me = needed(await accounts.me(request.app[SERVICES], person_of(request)))
    return page(
        request,
        template,
        status=mistakes.status,
        me=me,
        given=given or {},
        mistakes=mistakes.listed,
        done=done_of(request),
        **values,
    )


def _form(template: str) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def shown(request: web.Request) -> web.StreamResponse:
        """Show a form of the settings."""
        return await _shown(request, template)

    return shown


async def save(request: web.Request) -> web.StreamResponse:
    """Keep name and language; the pages turn to that language as well."""
    fields = await forms.read(request)
    given = {"name": fields.get("name", ""), "language": fields.get("language", "")}
    asked = understood(request, MeChange, given)
    if not isinstance(asked, Mistakes) and asked.language not in LANGUAGES:
        asked = Mistakes([], 422)
    if isinstance(asked, Mistakes):
        return await _shown(request, "settings/settings.html", asked, given)
    needed(await accounts.change(request.app[SERVICES], person_of(request), asked))
    return see_other(f"/me/settings?done=saved&lang={asked.language}")


async def change_email(request: web.Request) -> web.StreamResponse:
    """Have a letter written to another address."""
    fields = await forms.read(request)
    given = {"email": fields.get("email", "").strip()}
    asked = understood(request, NewEmail, given | _password(fields))
    if not isinstance(asked, Mistakes):
        denied = await accounts.change_email(
            request.app[SERVICES], person_of(request), asked, origin_of(request)
        )
        if denied is None:
            return see_other("/me/verify")
        asked = mistakes_of(request, denied, "email")
    return await _shown(request, "settings/email.html", asked, given)


async def change_password(request: web.Request) -> web.StreamResponse | Problem:
    """Choose another password; all other sessions are over, and this one goes on."""
    fields = await forms.read(request)
    given: dict[str, str] = {"new_password": fields.get("new_password", "")}
    if fields.get("current_password"):
        given["current_password"] = fields["current_password"]
    asked = understood(request, PasswordChange, given)
    if not isinstance(asked, Mistakes):
        made = await accounts.change_password(
            request.app[SERVICES], person_of(request), asked, origin_of(request), device_of(request)
        )
        if not isinstance(made, Denied):
            return await go_on(request, made, "/me/settings?done=password")
        asked = mistakes_of(request, made, "new_password")
    return await _shown(request, "settings/password.html", asked)


def _password(fields: Mapping[str, str]) -> dict[str, str]:
    """Return the password of a form; who has none, or left it out, sends none."""
    return {"password": fields["password"]} if fields.get("password") else {}


#: What devices call themselves, the more special first: browsers, then systems.
_BROWSERS = {"Edg": "Edge", "OPR/": "Opera", "Firefox": "", "Chrome": "", "Safari": ""}
_SYSTEMS = {"Android": "", "iPhone": "", "iPad": "", "Windows": "", "Mac OS": "Mac", "Linux": ""}


def device_of_agent(text: str) -> str:
    """Return a device by what it says of itself, in words that people know; else as it says."""
    names = [
        next((name or mark for mark, name in marks.items() if mark in text), "")
        for marks in (_BROWSERS, _SYSTEMS)
    ]
    return " · ".join(filter(None, names)) or text


async def signed_in(request: web.Request) -> web.StreamResponse:
    """List where one is signed in."""
    found = needed(await sessions.mine(request.app[SERVICES], person_of(request)))
    return page(
        request, "settings/sessions.html", found=found, named=device_of_agent, done=done_of(request)
    )


async def end_session(request: web.Request) -> web.StreamResponse:
    """End one of one's sessions."""
    await forms.read(request)
    services, person = request.app[SERVICES], person_of(request)
    session_id = request.match_info["id"]
    needed(await sessions.end(services, person, session_id))
    if session_id != person.session_id:
        return see_other("/me/sessions?done=ended")
    response = see_other("/")
    cookies.take_back(response, request.app, cookies.SESSION)
    return response


async def end_others(request: web.Request) -> web.StreamResponse:
    """End all sessions but this one."""
    await forms.read(request)
    needed(await sessions.end_others(request.app[SERVICES], person_of(request)))
    return see_other("/me/sessions?done=ended")


async def export(request: web.Request) -> web.StreamResponse:
    """Send all that is kept of one, as a file."""
    await forms.read(request)
    person = person_of(request)
    found = needed(await privacy.export(request.app[SERVICES], person))
    name = f'attachment; filename="evently-{person.user_id}.json"'
    body = privacy.document(found, person.user_id, dt.datetime.now(dt.UTC))
    return web.Response(
        body=body, content_type="application/json", headers={hdrs.CONTENT_DISPOSITION: name}
    )


async def erase(request: web.Request) -> web.StreamResponse:
    """Forget who asks, who has proved it is them, and said what becomes of what is booked."""
    fields = await forms.read(request)
    given = {"bookings": fields.get("bookings", "")}
    chosen = {name: text for name, text in given.items() if text}
    asked = understood(request, Erase, chosen | _password(fields))
    if not isinstance(asked, Mistakes):
        done = await privacy.erase(
            request.app[SERVICES], person_of(request), asked, origin_of(request)
        )
        if isinstance(done, told.Erasure):
            response = see_other("/erased")
            cookies.take_back(response, request.app, cookies.SESSION)
            return response
        asked = mistakes_of(request, done, "password")
    return await _shown(request, "settings/erase.html", asked, given)


async def erased(request: web.Request) -> web.StreamResponse:
    """Say that an account is gone."""
    return page(request, "settings/erased.html")


def _get(path: str, handler: Any) -> PageRoute:
    return PageRoute("GET", path, handler, Work.SIGN_INS, needs_person=True)


def _post(path: str, handler: Any) -> PageRoute:
    return PageRoute("POST", path, handler, Work.SIGN_INS, needs_person=True)


ROUTES = (
    _get("/me/settings", _form("settings/settings.html")),
    _post("/me/settings", save),
    _get("/me/email", _form("settings/email.html")),
    _post("/me/email", change_email),
    _get("/me/password", _form("settings/password.html")),
    _post("/me/password", change_password),
    _get("/me/sessions", signed_in),
    _post("/me/sessions/end-others", end_others),
    _post("/me/sessions/{id}/end", end_session),
    _post("/me/export", export),
    _get("/me/erase", _form("settings/erase.html")),
    _post("/me/erase", erase),
    PageRoute("GET", "/erased", erased),
)
