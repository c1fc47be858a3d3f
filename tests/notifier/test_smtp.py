"""A mail server that refuses, stalls and drops at each step: what becomes of a letter."""

from __future__ import annotations

import pytest

from notifier.smtp import Client, Ending, Envelope, Server, server_of
from store.sql import query
from tests.notifier import server
from tests.notifier.conftest import House
from tests.store.records import booked

LETTER = Envelope("tickets@example.org", "ada@example.org", b"Subject: x\r\n\r\n.\r\nbody\r\n")


def way_to(mail: server.Process) -> Server:
    """Return how the server is reached, with short deadlines."""
    return Server(
        host="127.0.0.1", port=mail.port, security="plain", step_timeout_s=0.4, text_timeout_s=0.4
    )


async def tries(house: House) -> list[tuple[int, int]]:
    """Return how often each letter was tried, and of how many tries nobody knows the end."""
    rows = await house.pool.fetch("SELECT attempts, doubts FROM deliveries ORDER BY id")
    return [tuple(row) for row in rows]


@pytest.mark.parametrize(
    ("step", "word", "verdict", "reason"),
    [
        ("connect", "421 4.3.2 closing", "trouble", "connect: 421 4.3.2"),
        ("connect", "554 5.7.1 not you", "trouble", "connect: 554 5.7.1"),
        ("connect", "stall", "trouble", None),
        ("connect", "drop", "trouble", None),
        ("sender", "421 4.3.2 closing", "trouble", "sender: 421 4.3.2"),
        ("sender", "451 4.3.0 later", "trouble", "sender: 451 4.3.0"),
        ("sender", "550 5.7.1 not you", "refused", "sender: 550 5.7.1"),
        ("sender", "stall", "trouble", "sender: TimeoutError"),
        ("sender", "drop", "trouble", None),
        ("recipient", "421 4.3.2 closing", "trouble", "recipient: 421 4.3.2"),
        ("recipient", "432 4.3.2 too many", "trouble", "recipient: 432 4.3.2"),
        ("recipient", "450 4.7.1 greylisted", "later", "recipient: 450 4.7.1"),
        ("recipient", "452 4.2.2 full", "trouble", "recipient: 452 4.2.2"),
        ("recipient", "550 5.1.1 nobody", "gone", "recipient: 550 5.1.1"),
        ("recipient", "550 5.7.1 no", "refused", "recipient: 550 5.7.1"),
        ("recipient", "stall", "trouble", "recipient: TimeoutError"),
        ("recipient", "drop", "trouble", None),
        ("data", "421 4.3.2 closing", "trouble", "text: 421 4.3.2"),
        ("data", "452 4.3.1 no room", "trouble", "text: 452 4.3.1"),
        ("data", "550 5.7.1 no", "refused", "text: 550 5.7.1"),
        ("text", "421 4.3.2 closing", "trouble", "text: 421 4.3.2"),
        ("text", "450 4.7.1 later", "later", "text: 450 4.7.1"),
        ("text", "452 4.3.1 no room", "trouble", "text: 452 4.3.1"),
        ("text", "550 5.7.1 spam", "refused", "text: 550 5.7.1"),
        ("text", "stall", "unknown", "text: TimeoutError"),
        ("text", "drop", "unknown", None),
    ],
)
async def test_what_goes_wrong_is_judged(
    mail: server.Process, step: str, word: str, verdict: str, reason: str | None
) -> None:
    """Each fault at each step has its verdict, and the same client then hands a letter in."""
    mail.orders.give(**{step: [word]})
    client = Client(way_to(mail), local_hostname="example.org")
    outcome = await client.send(LETTER)
    assert verdict == outcome.verdict, outcome
    assert reason in {None, outcome.reason}
    assert Ending("sent") == await client.send(LETTER)
    await client.close()
    [letter] = mail.letters()
    assert ".\nbody\n" == letter.get_content().replace("\r\n", "\n")


def test_where_mail_is_handed_in() -> None:
    """The URL says whether TLS is there from the begin, demanded, or none; a bad one is refused."""
    found = server_of("smtp://me:p%40ss@mail.example.org")
    assert ("mail.example.org", 587, "starttls", "me", "p@ss") == (
        *(found.host, found.port, found.security, found.username, found.password),
    )
    assert "p@ss" not in repr(found)
    assert "tls" == server_of("smtps://mail.example.org").security
    assert 2525 == server_of("smtp+plain://127.0.0.1:2525").port
    with pytest.raises(ValueError, match="not of the form"):
        server_of("http://mail.example.org")


async def test_f44_a_dead_server_is_tried_again(house: House) -> None:
    """F44: a server that is killed and comes back gets every letter once."""
    event = await house.event()
    people = [await house.person(domain=f"d{number}.example") for number in range(10)]
    await house.write(*[booked(event, user_id=person) for person in people])
    await house.follow()
    house.mail.kill()
    async with house.working():
        await house.until(delayed=10)
        house.mail.start()
        await house.hurry()
        await house.until(sent=10)
    assert 10 == len(house.mail.letters())


async def test_f44_an_unknown_end_is_tried_again_with_the_same_id(house: House) -> None:
    """F44: a letter that was taken without a word comes twice, counted, with one Message-ID."""
    await house.write(booked(await house.event(), user_id=await house.person()))
    await house.follow()
    house.mail.orders.give(text=["keep, drop"])
    async with house.working():
        await house.until(unknown=1)
        await house.hurry()
        await house.until(sent=1)
    first, second = house.mail.letters()
    assert first["Message-ID"] == second["Message-ID"]
    assert [(2, 1)] == await tries(house)


async def test_f44_a_worker_that_dies_leaves_its_lease(house: House) -> None:
    """F44: what a dead worker had is left alone until its lease is over, then sent and counted."""
    await house.write(booked(await house.event(), user_id=await house.person()))
    await house.follow()
    [claimed] = await house.pool.fetch(query("claim_deliveries"), "mail", 5, 60_000, [], [], 3)
    assert 1 == claimed["attempts"]
    assert [] == await house.pool.fetch(query("claim_deliveries"), "mail", 5, 60_000, [], [], 3)
    await house.hurry()
    assert 1 == len(await house.send(sent=1))
    assert [(2, 1)] == await tries(house)
    late = await house.pool.fetch(query("end_attempt"), claimed["id"], 1, "dead", "", 0)
    assert [] == late


async def test_an_address_that_is_gone_is_written_to_no_more(house: House) -> None:
    """A hard bounce suppresses an address for all but what proves it, until it is proved again."""
    event, person = await house.event(), await house.person()
    address = await house.address_of(person)
    house.mail.orders.give(recipient=["550 5.1.1 nobody"])
    await house.write(booked(event, user_id=person))
    assert [] == await house.send(suppressed=1)
    await house.tell("account.password_changed", person)
    assert [] == await house.send(suppressed=2)
    await house.tell("account.verify", person, to=address, token="t")
    assert 1 == len(await house.send(suppressed=2, sent=1))
    await house.pool.execute("UPDATE users SET email_verified_at = now() WHERE id = $1", person)
    await house.tell("account.password_changed", person)
    assert 2 == len(await house.send(suppressed=2, sent=2))


async def test_a_letter_is_given_up_after_a_day(house: House) -> None:
    """What cannot be handed in for a day is dead, and leaves when somebody says so."""
    await house.write(booked(await house.event(), user_id=await house.person()))
    await house.follow()
    await house.pool.execute("UPDATE deliveries SET written_at = now() - interval '24 hours'")
    house.mail.orders.give(recipient=["450 4.7.1 later"])
    async with house.working():
        await house.until(dead=1)
        assert "too late: recipient: 450 4.7.1" == await house.pool.fetchval(
            "SELECT reason FROM deliveries"
        )
        assert 1 == len(await house.pool.fetch(query("retry_dead"), None))
        await house.until(sent=1)


async def test_a_letter_that_cannot_be_written_is_dead(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault of ours stops one letter, which a human sees, and no other."""

    def fail(*_: object) -> None:
        raise RuntimeError("a fault")

    await house.write(booked(await house.event(), user_id=await house.person()))
    await house.tell("account.password_changed", await house.person())
    monkeypatch.setattr("notifier.composer.money", fail)
    assert 1 == len(await house.send(dead=1, sent=1))
