"""
What people are told when something cannot be done: one table, from a problem's code to a sentence
and the next step.

The pages that show a problem and the pages that an error's `type` leads to read it; what the same
codes mean to programs, `api.codes` says. A code that has no row is told by its HTTP status.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import NamedTuple

from aiohttp import hdrs, web

from api.codes import Code
from api.problems import Problem
from web.rendering import page, said
from web.serving import dressed, visit_of

#: Not a page's: what programs ask for.
_MACHINES = ("/v1/", "/metrics", "/healthz", "/readyz", "/openapi.json")


def N_(text: str) -> str:  # noqa: N802 - gettext's own name for it
    """Mark a text that is translated where it is shown."""
    return text


class Sentence(NamedTuple):
    """What is said of a problem, and what one can do."""

    says: str
    next_step: str
    #: Where that leads: `again`, `search`, `sign_in`, or `back`.
    step: str = "back"


_PAUSED = Sentence(
    N_("Sales are paused for a moment: nobody can buy, and nobody loses a place."),
    N_("Every booking is being checked. This page asks again by itself."),
    "again",
)
_BUSY = Sentence(
    N_("Very many people ask just now."),
    N_("Nothing was lost. This page asks again by itself."),
    "again",
)

SENTENCES = {
    "sold_out": Sentence(
        N_("There are not as many places left as you asked for."),
        N_("Take fewer or another category, or join the waiting list."),
    ),
    "all_held": Sentence(
        N_("All places are taken for now, but some are only held and may come back."),
        N_("Try again in a few minutes, or join the waiting list."),
    ),
    "kept_for_waitlist": Sentence(
        N_("The free places go to those who wait."),
        N_("Join the waiting list: what comes back is offered there in order."),
    ),
    "limit_reached": Sentence(
        N_("That is more than one person may have."),
        N_("What you have booked, hold and were offered counts as well."),
    ),
    "sale_not_open": Sentence(
        N_("The sale has not opened yet."), N_("Come back when it opens; the page says when.")
    ),
    "sale_has_opened": Sentence(
        N_("The sale has opened already."), N_("Go to the event and book.")
    ),
    "too_many_reminders": Sentence(
        N_("You wish to be reminded of as many sales as you may."),
        N_("Take back one of the others first."),
    ),
    "too_many_browsers": Sentence(
        N_("As many devices are told as may be of one account."), N_("Take one off the list first.")
    ),
    "push_off": Sentence(
        N_("This site sends no messages to devices."), N_("Letters and your account tell you.")
    ),
    "sale_closed": Sentence(
        N_("The sale is closed."), N_("Look at the event again, or find another one."), "search"
    ),
    "seat_taken": Sentence(
        N_("That seat went just now. None of the others was booked."),
        N_("Choose another seat; the rest of your choice is kept."),
    ),
    "not_together": Sentence(
        N_("There are enough seats, but not side by side."),
        N_("Take fewer, or seats that are apart."),
    ),
    "promo_exhausted": Sentence(
        N_("This code has been used as often as it may be."), N_("Go on without it.")
    ),
    "hold_expired": Sentence(
        N_("Your hold ended, and its places went back on sale."), N_("Choose again.")
    ),
    "hold_released": Sentence(N_("You gave these places back."), N_("Choose again.")),
    "extension_limit": Sentence(
        N_("This hold cannot be made longer."),
        N_("Book within its time, or give it back and choose again."),
    ),
    "too_many_holds": Sentence(
        N_("You hold as many orders as may be held at a time."),
        N_("Book or give back one of them, or book at once without holding."),
    ),
    "price_changed": Sentence(
        N_("The hold ended, and these places have another price now."), N_("Choose again.")
    ),
    "event_ended": Sentence(
        N_("This event is over."), N_("Look for another date or event."), "search"
    ),
    "event_cancelled": Sentence(
        N_("This event is cancelled"), N_("Look for another date or event."), "search"
    ),
    "already_checked_in": Sentence(
        N_("Somebody is in on this ticket, so it stays as it is."),
        N_("If that is wrong, ask at the gate."),
    ),
    "ticket_transferred": Sentence(
        N_("A ticket was given away; it is its holder's."),
        N_("Choose the others, or ask its holder to give it back to you."),
    ),
    "ticket_cancelled": Sentence(
        N_("This ticket was given back, and lets nobody in."), N_("Look at your booking.")
    ),
    "no_transfers": Sentence(
        N_("Tickets of this event cannot be given to others."),
        N_("Give it back instead, if you do not need it."),
    ),
    "below_minimum": Sentence(
        N_("That would leave fewer places of a category than one order has."),
        N_("Give back all of that category, or fewer."),
    ),
    "version_changed": Sentence(
        N_("It was changed meanwhile."), N_("Look at it again, then decide.")
    ),
    "idempotency_key_reused": Sentence(
        N_("This form has been used for another order."),
        N_("Open the page again and send it from there. Nothing was done."),
    ),
    "not_found": Sentence(
        N_("There is no page here, or not for you."),
        N_("Check the address, or search for the event."),
        "search",
    ),
    "foreign_form": Sentence(
        N_("This form could not be taken: it was open for too long or came from elsewhere."),
        N_("Open the page again and send it from there. Nothing was done."),
    ),
    "forbidden": Sentence(
        N_("Your account may not do this."), N_("Sign in with another account."), "sign_in"
    ),
    "unauthorized": Sentence(N_("You are not signed in."), N_("Sign in and go on."), "sign_in"),
    "wrong_credentials": Sentence(
        N_("Address and password do not belong together."),
        N_("Check both. Whether there is an account for an address is told to nobody."),
    ),
    "link_over": Sentence(
        N_("This code is no longer good, was used before, or is for another account."),
        N_("Ask for another letter."),
    ),
    "sign_in_over": Sentence(
        N_("This sign-in took too long, or was used before."), N_("Begin it again.")
    ),
    "sign_in_refused": Sentence(
        N_("The other provider did not sign you in."), N_("Try again, or sign in another way.")
    ),
    "provider_unavailable": Sentence(
        N_("The other provider does not answer just now."),
        N_("Try again in a moment, or sign in another way."),
    ),
    "address_unverified": Sentence(
        N_("The other provider does not vouch for your address, so no account was made."),
        N_("Confirm it there and come back, or make an account here."),
    ),
    "link_needed": Sentence(
        N_("There is an account with this address already."),
        N_("Sign in with its password; if it is lost, ask for a new one."),
    ),
    "bookings_open": Sentence(
        N_("You have tickets of events to come."),
        N_("Say whether they are given back or stay good."),
    ),
    "sign_in_again": Sentence(
        N_("For this you must have signed in within the last ten minutes."),
        N_("Sign out, sign in and try again."),
        "sign_in",
    ),
    "last_owner": Sentence(
        N_("You are the only owner of a team."), N_("Make somebody else its owner first.")
    ),
    "already_member": Sentence(N_("You are on this team already."), N_("Look at your account.")),
    "already_waiting": Sentence(
        N_("You wait for this category already."),
        N_("Leave that list first if you need another number of places."),
    ),
    "party_too_large": Sentence(
        N_("So many places can never be free together in this category."), N_("Ask for fewer.")
    ),
    "places_available": Sentence(
        N_("There are places in this category, and nobody waits."), N_("Book them now.")
    ),
    "waitlist_full": Sentence(
        N_("As many people wait for this category as may."), N_("Look at other categories.")
    ),
    "account_disabled": Sentence(
        N_("This account is closed by the operator."), N_("Write to the operator of this site.")
    ),
    "rate_limited": Sentence(
        N_("That was too often in a short time."),
        N_("Wait a moment. Your place in any list is not affected."),
        "again",
    ),
    "outcome_unknown": Sentence(
        N_("We do not know yet whether that was done."),
        N_("Do not start again: this page asks once more, and it is done once."),
        "again",
    ),
    "shard_recovering": _PAUSED,
    "event_recovering": _PAUSED,
    "redis_unavailable": _PAUSED,
    "backpressure": _BUSY,
    "database_busy": _BUSY,
    "database_unavailable": _BUSY,
    "catching_up": Sentence(
        N_("Your newest booking is still being written."), N_("It is safe. Ask again."), "again"
    ),
    "precondition_failed": Sentence(
        N_("It was changed meanwhile."), N_("Look at it again, then decide.")
    ),
    "internal": Sentence(
        N_("Something is wrong on our side."),
        N_("Try again; if it stays so, tell the operator the number below."),
        "again",
    ),
}
_BY_STATUS = {
    HTTPStatus.TOO_MANY_REQUESTS: SENTENCES["rate_limited"],
    HTTPStatus.SERVICE_UNAVAILABLE: _BUSY,
    HTTPStatus.FORBIDDEN: SENTENCES["forbidden"],
    HTTPStatus.NOT_FOUND: SENTENCES["not_found"],
}
_OTHER = Sentence(N_("This could not be done."), N_("Go back and try it another way."))


def sentence_of(code: str, status: int) -> Sentence:
    """Return what is said of a problem."""
    return SENTENCES.get(code) or _BY_STATUS.get(HTTPStatus(status)) or _OTHER


def told(request: web.Request, problem: Problem) -> str:
    """Say what is wrong and what to do, in its reader's words: for a form that is shown again."""
    sentence, language = sentence_of(problem.code, problem.status), visit_of(request).language
    return f"{said(language, sentence.says)} {said(language, sentence.next_step)}"


class Pages:
    """The face that people see, as the API knows it (`api.http.People`)."""

    def is_asking(self, request: web.Request) -> bool:
        """Tell whether a request is for a page: not below `/v1`, and by who reads HTML."""
        return not request.path.startswith(_MACHINES) and _reads_html(request)

    def show(self, request: web.Request, problem: Problem, request_id: str) -> web.StreamResponse:
        """Answer with the page of a problem."""
        return problem_page(request, problem, request_id)

    def explain(self, request: web.Request, code: Code) -> web.StreamResponse:
        """Answer with the page that an error's `type` leads to: for people first, then programs."""
        sentence = sentence_of(code.code, code.http_status)
        shown = page(request, "problem/code.html", code=code, sentence=sentence)
        return dressed(request, shown)


def _reads_html(request: web.Request) -> bool:
    return "text/html" in request.headers.get(hdrs.ACCEPT, "").lower()


def problem_page(
    request: web.Request, problem: Problem, request_id: str = ""
) -> web.StreamResponse:
    """Return the page of a problem, in the site's own look; it needs no server below."""
    again_s = 0
    retry_after = problem.headers.get(hdrs.RETRY_AFTER, "")
    if retry_after.isdecimal() and request.method in {hdrs.METH_GET, hdrs.METH_HEAD}:
        again_s = max(2, int(retry_after))
    response = page(
        request,
        "problem/problem.html",
        status=problem.status,
        sentence=sentence_of(problem.code, problem.status),
        problem=problem,
        request_id=request_id,
        wait_s=again_s,
    )
    for name, value in problem.headers.items():
        response.headers.setdefault(name, value)
    if again_s:
        # Where nothing runs, the browser asks again by itself; not all at the same moment.
        response.headers["Refresh"] = str(again_s + hash(request_id) % (again_s + 1))
    return dressed(request, response)
