"""For admins: accounts, and how the whole stands. To all others these pages are not there."""

from __future__ import annotations

import datetime as dt

from aiohttp import web

from api.admission import Work
from api.answers import cursor_of, problem_of
from api.http import SERVICES, page_start, query_once, query_text
from api.problems import Problem, not_found
from usecases import health, operators, told
from usecases.asked import AccountChange
from usecases.denials import Denied
from usecases.tokens import Principal
from web import forms
from web.problems import told as in_words
from web.rendering import page
from web.serving import PageRoute, person_of, see_other

ACCOUNTS_A_PAGE = 50
ROLES = ("user", "staff", "organizer", "admin")
_FIRST = (dt.datetime(1970, 1, 1, tzinfo=dt.UTC), "")


async def _admin(request: web.Request) -> Principal:
    """Return who asks if they are an admin at this moment, signed in as an admin must."""
    person = person_of(request)
    standing = await request.app[SERVICES].standings.of(person)
    if not standing.is_admin:
        raise not_found()
    return person


async def show_health(request: web.Request) -> web.StreamResponse | Problem:
    """Show whether sales are open, what lags, what was proved, and what is wrong."""
    await _admin(request)
    return page(request, "admin/health.html", health=await health.read(request.app[SERVICES]))


async def show_accounts(request: web.Request) -> web.StreamResponse | Problem:
    """Show accounts, by address, name or role, a page at a time."""
    await _admin(request)
    text, role = query_text(request, "q") or "", query_once(request, "role") or ""
    found = await operators.search(
        request.app[SERVICES],
        text=text or None,
        role=role if role in ROLES else None,
        after=page_start(request, _FIRST)[1],
        limit=ACCOUNTS_A_PAGE,
    )
    if isinstance(found, Denied):
        return problem_of(found)
    return page(
        request,
        "admin/accounts.html",
        accounts=found.data,
        text=text,
        role=role,
        roles=ROLES,
        cursor=cursor_of(found.last) if found.last is not None else "",
    )


async def show_account(request: web.Request) -> web.StreamResponse | Problem:
    """Show an account, and what can be done to it."""
    await _admin(request)
    found = await operators.read(request.app[SERVICES], request.match_info["user_id"])
    if isinstance(found, Denied):
        return problem_of(found)
    return _account_page(request, found)


def _account_page(
    request: web.Request, account: told.Account, problem: Problem | None = None
) -> web.Response:
    return page(
        request,
        "admin/account.html",
        status=200 if problem is None else problem.status,
        account=account,
        roles=ROLES,
        mistake="" if problem is None else in_words(request, problem),
    )


async def change_role(request: web.Request) -> web.StreamResponse | Problem:
    """Make an account something else."""
    fields = await forms.read(request)
    person, role = await _admin(request), fields.get("role", "")
    if role not in ROLES:
        raise not_found()
    asked = AccountChange(
        role=role,  # type: ignore[arg-type]  # One of the four.
        organizer_id=fields.get("organizer_id", "").strip() or None,
    )
    services, user_id = request.app[SERVICES], request.match_info["user_id"]
    return await _acted(request, await operators.change(services, person, user_id, asked))


async def disable(request: web.Request) -> web.StreamResponse | Problem:
    """Keep an account out."""
    await forms.read(request)
    return await _set_disabled(request, is_disabled=True)


async def enable(request: web.Request) -> web.StreamResponse | Problem:
    """Let an account in again."""
    await forms.read(request)
    return await _set_disabled(request, is_disabled=False)


async def _set_disabled(request: web.Request, *, is_disabled: bool) -> web.StreamResponse | Problem:
    person, services = await _admin(request), request.app[SERVICES]
    user_id = request.match_info["user_id"]
    done = await operators.set_disabled(services, person, user_id, is_disabled=is_disabled)
    return await _acted(request, done)


async def end_sessions(request: web.Request) -> web.StreamResponse | Problem:
    """End all sessions of an account."""
    await forms.read(request)
    person, services = await _admin(request), request.app[SERVICES]
    done = await operators.end_sessions(services, person, request.match_info["user_id"])
    return await _acted(request, done)


async def _acted(request: web.Request, done: told.Account | Denied) -> web.StreamResponse | Problem:
    if not isinstance(done, Denied):
        return see_other(f"/admin/users/{done.id}")
    account = await operators.read(request.app[SERVICES], request.match_info["user_id"])
    if isinstance(account, Denied):
        return problem_of(account)
    return _account_page(request, account, problem_of(done))


_ONE = "/admin/users/{user_id}"
ROUTES = (
    PageRoute("GET", "/admin", show_health, Work.CHANGES, needs_person=True),
    PageRoute("GET", "/admin/users", show_accounts, Work.CHANGES, needs_person=True),
    PageRoute("GET", _ONE, show_account, Work.CHANGES, needs_person=True),
    PageRoute("POST", f"{_ONE}/role", change_role, Work.CHANGES, needs_person=True),
    PageRoute("POST", f"{_ONE}/disable", disable, Work.CHANGES, needs_person=True),
    PageRoute("POST", f"{_ONE}/enable", enable, Work.CHANGES, needs_person=True),
    PageRoute("POST", f"{_ONE}/end-sessions", end_sessions, Work.CHANGES, needs_person=True),
)
