"""
Text as people type it: each kind of nasty input on each field, and read back where it is shown.

The kinds are those of the Big List of Naughty Strings. What is taken comes back the same at every
door; what is not is refused in plain words, with a pointer and nothing changed.
"""

from __future__ import annotations

import datetime as dt
import string
import unicodedata
from typing import Any
from urllib.parse import quote

import pytest
from argon2 import PasswordHasher

from engine.currencies import DIGITS
from engine.printable import printable
from store import users
from tests.api.test_accounts import account
from tests.api.world import World, check_problem, new_event
from usecases import asked, text
from usecases.denials import Denied

#: Strange, but what somebody may be called: kept as it is.
TAKEN = [
    "undefined", "NULL", "None", "true", "0", "-1", "1E+02", "0x1F", "NaN", "Infinity", "1/0",
    ",./;'[]\\-=", '<>?:"{}|_+', "!@#$%^&*()`~", "Ω≈ç√∫˜µ≤≥÷", "田中さんにあげて下さい",
    "사회과학원 어학연구소", "الكل في المجمو عة", "\u200ftest\u200f", "𠜎𠜱𠝹𠱓",
    "Ⱥ", "😍", "👩\u200d👩\u200d👧", "👾 🙇 💁",
    "🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f", "１２３",
    "表ポあA鷗ŒéＢ逍Üßªąñ",
    "<script>alert(0)</script>", "&lt;script&gt;", '" onfocus=JaVaSCript:alert(1) autofocus',
    "1;DROP TABLE users", "' OR 1=1 -- 1", "%s%p%x%d", "${{7*7}}", "{0}", "../../etc/passwd",
    "[red]bold[/red]", "\\u0000", "=cmd|' /C calc'!A0", "Scunthorpe General Hospital", "Żółć",
    "ﬁ", "נִקּוּד", "ภาษาไทย",
]  # fmt: skip
#: What nobody can see, or what changes how other text is shown.
REFUSED = [
    "a\0b", "a\x1b[2Jb", "a\rb", "a\x08b", "a\x7fb", "a\x9bb", "a\ufffeb", "a\U000e0001b",
    "a\u202eb", "a\u202db", "a\ue000b", "a\u0378b", "a" + "\u0335" * 40,
]  # fmt: skip
UNSEEN = ["   ", "\u200b", "\u200d\u200c", "\u3164", "\u2800", "\u00a0\u2003", "\ufeff", "\u0301"]
#: One line has no ends of lines.
LINE_ENDS = ["a\nb", "a\tb", "a\u2028b", "a\u2029b", "a\x85b"]

E_COMPOSED, E_APART = "caf\u00e9", "cafe\u0301"


def draft(name: str = "Show", **changes: Any) -> dict[str, Any]:
    """Make a request for an event with a text in every field."""
    return new_event(10) | {"name": name} | changes


def everywhere(one: str) -> dict[str, Any]:
    """Put a text into every field of an event that people read."""
    seats = {"rows": [{"name": one[:20], "seats": [{"label": one[:10]}]}]}
    return {
        "name": one,
        "description": one,
        "category": one,
        "venue": one,
        "starts_at": (dt.datetime.now(dt.UTC) + dt.timedelta(days=3)).isoformat(),
        "tiers": [{"name": one, "price": {"amount": 1, "currency": "EUR"}}],
        "sections": [{"name": one, "tier": one, **seats}],
    }


def test_every_text_declares_its_kind() -> None:
    """No field of text comes in without rules of its own."""
    kinds = [one for one in vars(asked).values() if isinstance(one, type)]
    bodies = [one for one in kinds if issubclass(one, asked.Asked) and one is not asked.Asked]

    assert len(bodies) > 10
    assert [] == [name for body in bodies for name in text.undeclared(body)]


async def test_taken_text_comes_back(world: World, organizer: str) -> None:
    """What is strange but can be seen is kept, in one composed form, wherever it is shown."""
    for one in TAKEN:
        kept = unicodedata.normalize("NFC", one)
        made = await world.call("POST", "/v1/events", token=organizer, json=everywhere(one))
        assert 201 == made.status, (one, made.text)
        event_id = made.body["id"]
        published = await world.call("POST", f"/v1/events/{event_id}/publish", token=organizer)
        assert 200 == published.status, (one, published.text)
        read = await world.call("GET", f"/v1/events/{event_id}")
        shown = {name: read.body[name] for name in ("name", "description", "category", "venue")}
        assert {kept} == {*shown.values(), read.body["tiers"][0]["name"]}
        seats = await world.call("GET", f"/v1/events/{event_id}/seats")
        [section] = seats.body["sections"]
        assert kept == section["name"]
        assert unicodedata.normalize("NFC", one[:20]) == section["rows"][0]["name"]
        found = await world.call("GET", f"/v1/events?limit=200&q={quote(one)}")
        has_word = not set(one) <= set(string.punctuation)
        assert has_word == (event_id in {event["id"] for event in found.body["data"]}), one
        # And of a person, who sees the name again.
        person = await world.call("POST", "/v1/auth/register", json=account(name=f" {one} "))
        me = await world.call("GET", "/v1/me", token=person.body["access_token"])
        assert kept == me.body["name"]


@pytest.mark.parametrize("where", ["name", "category", "venue", "description"])
async def test_refused_text(world: World, organizer: str, where: str) -> None:
    """What cannot be seen, or turns what stands beside it, is refused and nothing is made."""
    before = await world.state()
    bad = REFUSED if where == "description" else REFUSED + LINE_ENDS
    bad = [one for one in bad if where != "description" or one != "a\rb"]
    for one in bad:
        body = draft(**{where: one})
        answer = await world.call("POST", "/v1/events", token=organizer, json=body)
        check_problem(answer, 422, "invalid", f"/{where}")
        assert "regex" not in answer.text
    for one in bad if where == "name" else []:
        answer = await world.call("POST", "/v1/auth/register", json=account(name=one))
        check_problem(answer, 422, "invalid", "/name")
        body = draft()
        body["tiers"][0]["name"] = one
        answer = await world.call("POST", "/v1/events", token=organizer, json=body)
        check_problem(answer, 422, "invalid", "/tiers/0/name")
    for one in UNSEEN if where == "name" else []:
        answer = await world.call("POST", "/v1/auth/register", json=account(name=one))
        check_problem(answer, 422, "invalid", "/name")
    assert before == await world.state()


async def test_addresses(world: World) -> None:
    """Addresses that are none are refused; international ones are taken, and kept in one form."""
    for one in (
        "a@b",
        "a b@example.org",
        "@example.org",
        "a@",
        "a@-b.org",
        "a@b..org",
        "a..b@c.de",
        "a@example.org\n",
        "a@[127.0.0.1]x",
        "ann@exa\u202emple.org",
        "a@b.c_d",
    ):
        given = await world.call("POST", "/v1/auth/register", json=account(email=one))
        if one.endswith("\n"):
            assert 201 == given.status  # A blank that came along.
        else:
            check_problem(given, 422, "invalid", "/email")
    same = [
        [f"j\u00f6rg@m\u00fcnchen{n}.example.org" for n in "a"]
        + ["jo\u0308rg@mu\u0308nchena.example.org", "J\u00d6RG@M\u00dcNCHENA.example.org",
           "j\u00f6rg@xn--mnchena-n2a.example.org".replace("xn--mnchena-n2a", "M\u00fcnchena")],
        ["pavel.test@example.org", "\u0440avel.test@example.org", "PAVEL.TEST@EXAMPLE.ORG",
         "\uff50avel.test@example.org", " pavel.test@example.org "],
        ["用户@例子.公司", "用户@xn--fsqu00a.xn--55qx5d"],
    ]  # fmt: skip
    for forms in same:
        first, *others = forms
        made = await world.call("POST", "/v1/auth/register", json=account(email=first))
        assert 201 == made.status, (first, made.text)
        for form in others:
            # The address stays the first one's: who registers it again only claims it.
            again = account(email=form, password="another password")
            assert 201 == (await world.call("POST", "/v1/auth/register", json=again)).status
            login = {"email": form, "password": account()["password"]}
            entered = await world.call("POST", "/v1/auth/login", json=login)
            assert 200 == entered.status, form
            me = await world.call("GET", "/v1/me", token=entered.body["access_token"])
            assert first == me.body["email"]


async def test_old_accounts_are_found(world: World) -> None:
    """An account of older code, with what is one address now, is found as it was typed."""
    forms = ["twin\u00e9@example.org", "twine\u0301@example.org"]
    ids = []
    for number, form in enumerate(forms):
        own = await users.add(world.database, email=f"x{number}@x.org", name="A", password_hash="-")
        # As migration 0023 leaves it: the second of two has a key of its own.
        async with world.database.acquire() as connection, connection.transaction():
            await connection.execute("SET LOCAL session_replication_role = replica")
            await connection.execute(
                "UPDATE users SET email = $2, account_key = account_key($2) || $3 WHERE id = $1",
                own,
                form,
                f"#{own}" * number,
            )
        ids.append(own)
    found = [await users.by_email(world.database, text.email_forms(form)) for form in forms]
    assert ids[0] == (found[0] and found[0].id)
    assert ids[1] == (found[1] and found[1].id)


async def test_passwords(world: World) -> None:
    """A password is the same, however its accents and blanks are typed; old hashes still fit."""
    composed, apart = "p\u00e4ssw\u00f6rt hier", "pa\u0308sswo\u0308rt\u00a0hier"
    body = account(password=composed)
    await world.call("POST", "/v1/auth/register", json=body)
    for password in (composed, apart):
        login = {"email": body["email"], "password": password}
        assert 200 == (await world.call("POST", "/v1/auth/login", json=login)).status
    old = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1).hash(apart)
    await users.add(world.database, email="old.hash@example.org", name="O", password_hash=old)
    login = {"email": "old.hash@example.org", "password": apart}
    assert 200 == (await world.call("POST", "/v1/auth/login", json=login)).status
    wrong = login | {"password": composed.upper()}
    check_problem(await world.call("POST", "/v1/auth/login", json=wrong), 401, "wrong_credentials")
    for bad in ("eight\0888", "eight\x1b888", "eight\u200b888", "e\u0301" * 7):
        answer = await world.call("POST", "/v1/auth/register", json=account(password=bad))
        check_problem(answer, 422, "invalid", "/password")


async def test_currencies(world: World, organizer: str) -> None:
    """A price is in a currency that there is."""
    assert (2, 0, 3) == (DIGITS["EUR"], DIGITS["JPY"], DIGITS["KWD"])
    for code, status in {
        "eur": 201,
        "JPY": 201,
        "ABC": 422,
        "XXX": 422,
        "DEM": 422,
        "ЕUR": 422,
    }.items():
        body = draft()
        body["tiers"][0]["price"]["currency"] = code
        answer = await world.call("POST", "/v1/events", token=organizer, json=body)
        assert status == answer.status, code
        if status == 422:
            check_problem(answer, 422, "invalid", "/tiers/0/price/currency")


async def test_promo_codes(world: World) -> None:
    """A code is the same in any case and with blanks around; what it cannot be is said plainly."""
    event = await world.event(10, promo_codes=[{"code": "early", "percent_off": 10, "uses_max": 5}])
    token = world.token()
    first = await world.book(event, token, (1, 1), promo_code="EARLY")
    assert 201 == first.status, first.text
    for form in ("early", " Early ", "\uff25ARLY", "early\u200b"):
        again = await world.book(event, token, (1, 1), promo_code=form)
        assert (201, first.body["id"]) == (again.status, again.body["id"])
        assert "true" == again.headers["Idempotent-Replayed"]
    for bad, word in {
        "ear ly": "blank",
        "ЕARLY": "another alphabet",
        "": "",
        "a!": "no code",
    }.items():
        answer = await world.book(event, token, (1, 1), promo_code=bad, key="k-2")
        check_problem(answer, 422, "invalid", "/promo_code")
        assert "regex" not in answer.text
        assert word in answer.body["errors"][0]["detail"]
    path = f"/v1/events/{event['id']}"
    for form in ("early", "%20EARLY%20"):
        assert 200 == (await world.call("GET", f"{path}?promo_code={form}")).status
    answer = await world.call("GET", f"{path}?promo_code=e%20y")
    check_problem(answer, 422, "invalid", "/query/promo_code")


async def test_search_in_any_form(world: World, organizer: str) -> None:
    """A name is found without its accents, in any composition, case and width."""
    for name in (E_COMPOSED, E_APART):
        body = draft(name=f"{name} Łódź 100% Straße")
        made = await world.call("POST", "/v1/events", token=organizer, json=body)
        event_id = made.body["id"]
        await world.call("POST", f"/v1/events/{event_id}/publish", token=organizer)
        for query in (
            "cafe",
            "CAFÉ",
            E_APART,
            "ｃａｆｅ",
            "lodz",
            "100%",
            "strasse",
            "  cafe   lodz ",
        ):
            found = await world.call("GET", f"/v1/events?limit=200&q={quote(query)}")
            assert event_id in {event["id"] for event in found.body["data"]}, query
        for query in ("c_fe", "c%e", "\\"):
            found = await world.call("GET", f"/v1/events?limit=200&q={quote(query)}")
            assert event_id not in {event["id"] for event in found.body["data"]}, query


async def test_categories_in_any_form(world: World) -> None:
    """A category is found as it was given and as it is shown, and by no other name."""
    for given in (E_COMPOSED, E_APART, " Rock  &  Pop\u200b"):
        event = await world.event(1, category=given)
        for form, is_found in ((given, True), (event["category"], True), ("Rock", False)):
            answer = await world.call("GET", f"/v1/events?limit=200&category={quote(form)}")
            found = {one["id"] for one in answer.body["data"]}
            assert is_found == (event["id"] in found), form
    check_problem(
        await world.call("GET", "/v1/events?category=a%0Ab"), 422, "invalid", "/query/category"
    )


@pytest.mark.parametrize("given", [*REFUSED, *LINE_ENDS])
def test_nothing_steers_a_terminal(given: str) -> None:
    """What stands in old rows is spelled out where people read it."""
    shown = printable(given)
    assert not {"\0", "\x1b", "\r", "\n", "\x9b", "\u202e"} & set(shown)


def test_line_is_idempotent() -> None:
    """What is kept is kept again as it is."""
    for one in TAKEN:
        kept = text.line("", one, chars_max=200)
        assert kept == text.line("", kept, chars_max=200)
    with pytest.raises(Denied):
        text.line("", "\u200d", chars_max=200)
