"""Tickets for wallets: signed so that others can tell, and what they say."""

from __future__ import annotations

import datetime as dt
import hashlib
import io
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import jwt
import msgspec
import pytest
from cryptography.x509.oid import NameOID

from papers.values import Occasion, TicketSheet
from papers.wallet import (
    GOOGLE_SAVE_URL,
    GOOGLE_TEXT_CHARS_MAX,
    AppleSigner,
    GoogleSigner,
    WalletError,
    WalletTicket,
)
from tests.papers import made_up

CODE = "AUyh" + "k" * 130
#: When links are made.
NOW = dt.datetime.now(dt.UTC)
AT = dt.datetime(2026, 12, 1, 19, 30, tzinfo=dt.UTC)
OCCASION = Occasion(
    name="Concert",
    venue="Hall",
    address="Street 1\n1234 Town",
    organizer="House",
    starts_at=AT,
    ends_at=AT + dt.timedelta(hours=2),
    doors_at=AT - dt.timedelta(hours=1),
    timezone="Asia/Tokyo",
)
SHEET = TicketSheet(
    code=CODE,
    tier="Gold",
    section="A",
    row="3",
    seat="14",
    holder="Änne",
    booking_id="bk_" + "0" * 27,
    number=2,
    count=3,
)


def ticket(language: str = "en", **changes: Any) -> WalletTicket:
    """Return a ticket for a wallet."""
    own = WalletTicket("tkt_0_2", 1, "evt_0", 4, OCCASION, SHEET, language)
    return own._replace(**changes)


def files_in(package: bytes) -> dict[str, bytes]:
    """Return the files of a package."""
    with zipfile.ZipFile(io.BytesIO(package)) as opened:
        assert opened.testzip() is None
        return {name: opened.read(name) for name in opened.namelist()}


def is_signed(files: dict[str, bytes], folder: Path, root: str) -> bool:
    """Tell whether OpenSSL takes the signature of a manifest, by no other root than *root*."""
    parts = {"signature": files["signature"], "manifest": files["manifest.json"]}
    for name, body in (parts | {"root": root.encode()}).items():
        (folder / name).write_bytes(body)
    words = "cms -verify -binary -inform DER -in signature -content manifest -CAfile root"
    words += " -purpose any -no-CApath -no-CAstore -out out"
    found = subprocess.run(
        ["openssl", *words.split()], cwd=folder, capture_output=True, timeout=20, check=False
    )
    return found.returncode == 0


def claims_of(link: str) -> dict[str, Any]:
    """Return what a link says, once its signature is proved."""
    text = link.removeprefix(GOOGLE_SAVE_URL)
    assert text != link
    key = made_up.key(3).public_key()
    return dict(jwt.decode(text, key, algorithms=["RS256"], audience="google"))


def test_package_is_signed_to_the_byte(tmp_path: Path) -> None:
    """The signature leads to the root by what is enclosed, and every file is of the manifest."""
    made = made_up.pem()
    files = files_in(made_up.apple().signed(ticket()))
    assert is_signed(files, tmp_path, made.root)
    digests = msgspec.json.decode(files["manifest.json"])
    others = {
        name: body for name, body in files.items() if name not in {"manifest.json", "signature"}
    }
    assert {
        name: hashlib.sha1(body, usedforsecurity=False).hexdigest() for name, body in others.items()
    } == digests
    assert {"pass.json", "icon.png", "icon@2x.png", "icon@3x.png"} == set(digests)
    assert all(body.startswith(b"\x89PNG") for name, body in others.items() if "icon" in name)
    for place in (0, len(files["manifest.json"]) // 2):
        flipped = bytearray(files["manifest.json"])
        flipped[place] ^= 1
        assert not is_signed(files | {"manifest.json": bytes(flipped)}, tmp_path, made.root)
    stranger = made_up.pem(life=made_up.LIFE * 2)  # Of the same name, and another certificate.
    assert not is_signed(files, tmp_path, stranger.certificate)


def test_pass_says_what_the_ticket_says() -> None:
    """Event, place, seat, holder and time of the venue; the code as it is; no empty field."""
    said = msgspec.json.decode(files_in(made_up.apple().signed(ticket("de")))["pass.json"])
    [barcode] = said["barcodes"]
    assert ("PKBarcodeFormatQR", CODE) == (barcode["format"], barcode["message"])
    assert (made_up.PASS_TYPE_ID, made_up.TEAM_ID, "tkt_0_2") == (
        *(said["passTypeIdentifier"], said["teamIdentifier"], said["serialNumber"]),
    )
    assert "2026-12-02T04:30:00+09:00" == said["relevantDate"]
    shown = said["eventTicket"]
    fields = {one["key"]: one for part in shown.values() for one in part}
    told = {key: (one.get("label", ""), one["value"]) for key, one in fields.items()}
    assert ("", "Concert") == told["event"]
    assert ("Asia/Tokyo", "02.12.2026, 04:30") == told["when"]
    assert ("Ort", "Hall") == told["venue"]
    assert ("Reihe", "3") == told["row"]
    assert ("Name", "Änne") == told["holder"]
    assert "04:30 (Asia/Tokyo)" in told["begins"][1]
    assert "Ticket 2 von 3" == told["terms"][0]
    bare = ticket(sheet=msgspec.structs.replace(SHEET, section="", row="", seat="", holder=""))
    said = msgspec.json.decode(files_in(made_up.apple().signed(bare))["pass.json"])
    assert ["tier"] == [one["key"] for one in said["eventTicket"]["auxiliaryFields"]]


@pytest.mark.parametrize("language", ["en", "de", "ar"])
def test_pass_has_its_language(language: str) -> None:
    """Labels and times are of the language; the package is signed all the same."""
    said = msgspec.json.decode(files_in(made_up.apple().signed(ticket(language)))["pass.json"])
    [venue, _] = said["eventTicket"]["secondaryFields"]
    assert {"en": "Venue", "de": "Ort", "ar": "المكان"}[language] == venue["label"]


def test_certificates_must_belong_together() -> None:
    """What is none, another's key, another authority, no pass type: it is told which."""
    good = made_up.pem()
    own = {"certificate": good.certificate, "key": good.key, "authority": good.authority}
    wrong = {
        "certificate is no": {"certificate": "-----BEGIN"},
        "authority is no": {"authority": good.key},
        "key is no": {"key": good.certificate},
        "not the certificate's": {"key": made_up.pem_of(made_up.key(1))},
        "not of that authority": {"authority": good.root},
        "pass type": {"certificate": made_up.pem(subject=(NameOID.ORGANIZATIONAL_UNIT_NAME,))[0]},
        "team": {"certificate": made_up.pem(subject=(NameOID.USER_ID,))[0]},
    }
    for what, change in wrong.items():
        with pytest.raises(WalletError, match=what):
            AppleSigner(**own | change)
    for account in ("{}", "no", '{"client_email": "a@b.c", "private_key": "k"}'):
        with pytest.raises(WalletError):
            GoogleSigner(issuer_id="1", account=account)


def test_link_says_what_the_ticket_says() -> None:
    """Google's link is the account's own, and carries event, seat and the code as it is."""
    signer = made_up.wallets().google
    assert signer is not None
    claims = claims_of(signer.link(ticket(), NOW))
    assert (made_up.ACCOUNT, "savetowallet") == (claims["iss"], claims["typ"])
    [event], [own] = (claims["payload"][f"eventTicket{kind}"] for kind in ("Classes", "Objects"))
    assert event["id"] == own["classId"]
    assert {"type": "QR_CODE", "value": CODE} == own["barcode"]
    assert "2026-12-02T04:30:00+09:00" == event["dateTime"]["start"]
    assert "Section A, Row 3, Seat 14" == own["seatInfo"]["seat"]["defaultValue"]["value"]
    assert "Hall" == event["venue"]["name"]["defaultValue"]["value"]
    assert "Änne" == own["ticketHolderName"]
    given = claims_of(signer.link(ticket(version=2), NOW))["payload"]["eventTicketObjects"][0]
    moved = claims_of(signer.link(ticket(event_version=5), NOW))["payload"]["eventTicketObjects"][0]
    assert own["id"] != given["id"]
    assert own["classId"] != moved["classId"]


@pytest.mark.parametrize("letter", ["m", "م", "紙", "🎟", '"'])
def test_link_is_never_too_long(letter: str) -> None:
    """Whatever people wrote, a browser hands the whole link on, and no letter is half."""
    signer = made_up.wallets().google
    assert signer is not None
    long = letter * 200
    words = dict.fromkeys(("name", "venue", "address", "organizer"), long)
    seat = dict.fromkeys(("tier", "section", "row", "seat", "holder"), long)
    full = WalletTicket(
        *("tkt_" + "0" * 30, 65_535, "evt_" + "0" * 26, 999_999),
        msgspec.structs.replace(OCCASION, **words),
        msgspec.structs.replace(SHEET, **seat),
        "ar",
    )
    link = signer.link(full, NOW)
    assert len(link.removeprefix(GOOGLE_SAVE_URL)) <= GOOGLE_TEXT_CHARS_MAX
    [event] = claims_of(link)["payload"]["eventTicketClasses"]
    assert {letter, "…"} == set(event["eventName"]["defaultValue"]["value"])
    usual = signer.link(ticket(), NOW)
    assert len(usual.removeprefix(GOOGLE_SAVE_URL)) <= GOOGLE_TEXT_CHARS_MAX
    assert "…" not in str(claims_of(usual))
