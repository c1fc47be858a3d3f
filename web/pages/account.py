"""Signing in and out; whatever else is one's own stands in modules of its own."""

from __future__ import annotations

from aiohttp import web

from api.addresses import origin_of
from api.admission import Work
from api.answers import problem_of
from api.http import SERVICES, device_of
from api.problems import Problem
from usecases import accounts, sessions
from usecases.asked import Login
from usecases.denials import Denied
from web import cookies, forms
from web.problems import told
from web.rendering import page
from web.serving import SIGN_IN, PageRoute, see_other, visit_of


async def sign_in_form(request: web.Request) -> web.StreamResponse:
    """Ask for address and password; who is signed in already goes on at once."""
    to = forms.local_path(request.query.get("next", "/"))
    if visit_of(request).person is not None:
        return see_other(to)
    return page(request, "account/sign_in.html", to=to, email="", mistakes=[])


async def sign_in(request: web.Request) -> web.StreamResponse | Problem:
    """Sign in by password, and go on where one was led here from."""
    fields = await forms.read(request)
    email, password = fields.get("email", "").strip(), fields.get("password", "")
    to = forms.local_path(fields.get("next", "/"))
    services = request.app[SERVICES]
    made = await accounts.login(
        services,
        Login(email=email[:254], password=password[:1024]),
        origin_of(request),
        device_of(request),
    )
    if isinstance(made, Denied):
        problem = problem_of(made)
        return page(
            request,
            "account/sign_in.html",
            status=problem.status,
            to=to,
            email=email,
            mistakes=[("email", told(request, problem))],
        )
    cookie = await sessions.put_in_cookie(services, made.refresh_token)
    if isinstance(cookie, Denied):
        return problem_of(cookie)
    before = visit_of(request).person
    if before is not None:  # One browser has one session.
        await sessions.log_out(services, before, None)
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


ROUTES = (
    PageRoute("GET", SIGN_IN, sign_in_form, Work.SIGN_INS),
    PageRoute("POST", SIGN_IN, sign_in, Work.SIGN_INS),
    PageRoute("POST", "/sign-out", sign_out, Work.SIGN_INS),
)
