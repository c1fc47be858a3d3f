"""
Tickets for the wallets of phones: a signed package for Apple's, a signed link for Google's.

Both carry the very code that stands on the ticket's PDF. They are made where the keys are, and not
in the press, which knows no secret: texts are put together and signed once, in 2 ms of a CPU.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import io
import zipfile
from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import Annotated, Any, Final, NamedTuple
from zoneinfo import ZoneInfo

import jwt
import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key, pkcs7
from cryptography.x509.oid import NameOID
from msgspec.structs import replace

from papers import formats
from papers.values import Occasion, TicketSheet
from papers.words import LANGUAGES, PaperWords

GOOGLE_SAVE_URL: Final = "https://pay.google.com/gp/v/save/"
#: Longest signed text that browsers hand on in Google's link, in characters.
GOOGLE_TEXT_CHARS_MAX: Final = 1_800
#: Bytes of UTF-8 that each text of people may have in a link, and whether the venue is told: the
#: first by which it is short enough. With the last it always is.
_TRIED: Final = (
    *((200, True), (96, True), (64, True), (40, True), (24, True)),
    *((24, False), (12, False), (6, False)),
)
#: Of a service account's key, in bits: a longer one would leave no room in a link.
GOOGLE_KEY_BITS_MAX: Final = 2_048
#: Files of a package that are the same in each.
_ICONS = ("icon.png", "icon@2x.png", "icon@3x.png")
#: Packages of the same ticket are the same but for the signature's time.
_FILE_TIME = (1980, 1, 1, 0, 0, 0)
_INK, _GROUND, _LABEL = "rgb(255,255,255)", "rgb(67,56,202)", "rgb(224,231,255)"


class WalletError(ValueError):
    """A certificate or key is none, or they do not belong together; says which."""


class WalletTicket(NamedTuple):
    """A ticket for a wallet."""

    ticket_id: str
    #: Grows when it is given away, and its code with it.
    version: int
    event_id: str
    #: Grows with each change of the event.
    event_version: int
    occasion: Occasion
    sheet: TicketSheet
    #: One of `papers.words.LANGUAGES`.
    language: str


class AppleSigner:
    """Makes and signs passes for Apple's wallet, with a certificate of a pass type."""

    def __init__(self, *, certificate: str, key: str, authority: str) -> None:
        """
        Args:
            certificate: Of the pass type, as PEM; it names the type and the team.

            key: The private key of it, RSA, as PEM without a password.

            authority: The certificate that signed it, as PEM: Apple's WWDR intermediate.

        Raises:
            WalletError: one is none, or they do not belong together.
        """
        self._certificate = _certificate(certificate, "the certificate")
        self._authority = _certificate(authority, "the authority")
        self._key = _private_key(key)
        if self._key.public_key() != self._certificate.public_key():
            raise WalletError("the key is not the certificate's")
        try:
            self._certificate.verify_directly_issued_by(self._authority)
        except Exception as error:  # Of several kinds, by what differs.
            raise WalletError("the certificate is not of that authority") from error
        self._pass_type_id = self._named(NameOID.USER_ID, "pass type (UID)")
        self._team_id = self._named(NameOID.ORGANIZATIONAL_UNIT_NAME, "team (OU)")

    @property
    def good_until(self) -> dt.datetime:
        """When the first of the certificates ends; phones take no pass that is signed later."""
        return min(self._certificate.not_valid_after_utc, self._authority.not_valid_after_utc)

    def signed(self, ticket: WalletTicket) -> bytes:
        """Return a ticket as a package for Apple's wallet (`.pkpass`)."""
        packed = {"pass.json": msgspec.json.encode(self._pass(ticket)), **_icons()}
        # The format asks for SHA-1; what the signature stands on is SHA-256.
        digests = {
            name: hashlib.sha1(body, usedforsecurity=False).hexdigest()
            for name, body in packed.items()
        }
        manifest = msgspec.json.encode(digests)
        packed |= {"manifest.json": manifest, "signature": self._signature(manifest)}
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as package:
            for name, body in packed.items():
                package.writestr(
                    zipfile.ZipInfo(name, _FILE_TIME), body, compress_type=zipfile.ZIP_DEFLATED
                )
        return file.getvalue()

    def _signature(self, manifest: bytes) -> bytes:
        return (
            pkcs7.PKCS7SignatureBuilder()
            .set_data(manifest)
            .add_signer(
                self._certificate, self._key, hashes.SHA256(), rsa_padding=padding.PKCS1v15()
            )
            .add_certificate(self._authority)
            .sign(Encoding.DER, [pkcs7.PKCS7Options.DetachedSignature, pkcs7.PKCS7Options.Binary])
        )

    def _pass(self, ticket: WalletTicket) -> dict[str, Any]:
        words, occasion, sheet = LANGUAGES[ticket.language], ticket.occasion, ticket.sheet
        return {
            "formatVersion": 1,
            "passTypeIdentifier": self._pass_type_id,
            "teamIdentifier": self._team_id,
            "serialNumber": ticket.ticket_id,
            # Tickets of a booking stand together.
            "groupingIdentifier": sheet.booking_id,
            "organizationName": occasion.organizer,
            "description": f"{words.ticket}: {occasion.name}",
            "relevantDate": _local(occasion.starts_at, occasion),
            # Whoever shows the code first is let in: no button passes it on.
            "sharingProhibited": True,
            "backgroundColor": _GROUND,
            "foregroundColor": _INK,
            "labelColor": _LABEL,
            "barcodes": [
                {
                    "format": "PKBarcodeFormatQR",
                    "message": sheet.code,
                    "messageEncoding": "iso-8859-1",
                }
            ],
            "eventTicket": {
                "primaryFields": [_field("event", "", occasion.name)],
                "secondaryFields": _filled(
                    _field("venue", words.venue, occasion.venue),
                    _field("when", occasion.timezone, _when(occasion, ticket.language)),
                ),
                "auxiliaryFields": _filled(
                    _field("tier", words.tier, sheet.tier),
                    _field("section", words.section, sheet.section),
                    _field("row", words.row, sheet.row),
                    _field("seat", words.seat, sheet.seat),
                    _field("holder", words.holder, sheet.holder),
                ),
                "backFields": _filled(*_back(ticket, words)),
            },
        }

    def _named(self, oid: x509.ObjectIdentifier, what: str) -> str:
        found = self._certificate.subject.get_attributes_for_oid(oid)
        if len(found) != 1:
            raise WalletError(f"the certificate names no {what}")
        return str(found[0].value)


class GoogleSigner:
    """Makes and signs links that save a ticket in Google's wallet, with a service account's key."""

    def __init__(self, *, issuer_id: str, account: str) -> None:
        """
        Args:
            issuer_id: Digits, as the wallet's console tells them.

            account: The service account's key as the cloud's console gives it, JSON.

        Raises:
            WalletError: it is none.
        """
        try:
            read = msgspec.json.decode(account, type=_Account)
        except msgspec.DecodeError as error:
            raise WalletError("the account is not the JSON of a service account's key") from error
        self._issuer_id = issuer_id
        self._email = read.client_email
        self._key = _private_key(read.private_key)
        if self._key.key_size > GOOGLE_KEY_BITS_MAX:
            raise WalletError(f"the key has more than {GOOGLE_KEY_BITS_MAX} bits")
        # Beside the head and the signature, and all in base64.
        self._claims_bytes_max = (GOOGLE_TEXT_CHARS_MAX - 40) * 3 // 4 - self._key.key_size // 8

    def link(self, ticket: WalletTicket, at: dt.datetime) -> str:
        """
        Return the link by which a ticket is saved in Google's wallet.

        What was saved once stays as it was: so a ticket that was given away, and an event that has
        changed, are saved under ids of their own.

        Args:
            at: When the link is made.
        """
        # As UTF-8, which is half as long as pyjwt's own JSON where people do not write Latin.
        tried = (
            self._claims(_cut_in(ticket, bytes_max, has_venue=has_venue), at)
            for bytes_max, has_venue in _TRIED
        )
        claims = next(one for one in tried if len(one) <= self._claims_bytes_max)
        text = jwt.PyJWS().encode(claims, self._key, algorithm="RS256")
        return GOOGLE_SAVE_URL + text

    def _claims(self, ticket: WalletTicket, at: dt.datetime) -> bytes:
        return msgspec.json.encode(
            {
                "iss": self._email,
                "aud": "google",
                "typ": "savetowallet",
                "iat": int(at.timestamp()),
                "payload": {
                    "eventTicketClasses": [self._class(ticket)],
                    "eventTicketObjects": [self._object(ticket)],
                },
            }
        )

    def _class(self, ticket: WalletTicket) -> dict[str, Any]:
        occasion, language = ticket.occasion, ticket.language
        found: dict[str, Any] = {
            "id": self._class_id(ticket),
            "issuerName": occasion.organizer,
            "reviewStatus": "UNDER_REVIEW",
            "eventName": _said(occasion.name, language),
            "dateTime": {"start": _local(occasion.starts_at, occasion)},
        }
        if occasion.venue and occasion.address_line:  # The wallet wants both or none.
            found["venue"] = {
                "name": _said(occasion.venue, language),
                "address": _said(occasion.address_line, language),
            }
        return found

    def _object(self, ticket: WalletTicket) -> dict[str, Any]:
        sheet, language = ticket.sheet, ticket.language
        found: dict[str, Any] = {
            "id": f"{self._issuer_id}.{ticket.ticket_id}.{ticket.version}",
            "classId": self._class_id(ticket),
            "state": "ACTIVE",
            "barcode": {"type": "QR_CODE", "value": sheet.code},
            "ticketType": _said(sheet.tier, language),
        }
        if sheet.holder:
            found["ticketHolderName"] = sheet.holder
        if sheet.section:
            place = LANGUAGES[language].place(sheet.section, sheet.row, sheet.seat)
            found["seatInfo"] = {"seat": _said(place, language)}
        return found

    def _class_id(self, ticket: WalletTicket) -> str:
        return f"{self._issuer_id}.{ticket.event_id}.{ticket.event_version}"


class Wallets(NamedTuple):
    """Those that tickets can be put into here."""

    apple: AppleSigner | None = None
    google: GoogleSigner | None = None


class _Account(msgspec.Struct):
    client_email: Annotated[str, msgspec.Meta(max_length=90)]
    private_key: str


def _back(ticket: WalletTicket, words: PaperWords) -> Iterator[dict[str, Any]]:
    """Tell what stands on the back of a pass."""
    occasion, sheet, language = ticket.occasion, ticket.sheet, ticket.language
    begins = formats.time_of(occasion.starts_at, occasion.timezone, language)
    yield _field("begins", words.begins, begins)
    if occasion.doors_at is not None:
        doors = formats.time_of(occasion.doors_at, occasion.timezone, language)
        yield _field("doors", words.doors, doors)
    yield _field("address", words.venue, f"{occasion.venue}\n{occasion.address}".strip())
    yield _field("organizer", words.organizer, occasion.organizer)
    yield _field("booking", words.booking, sheet.booking_id)
    nth = words.nth.format(number=sheet.number, count=sheet.count)
    yield _field("terms", nth, words.terms)


def _field(key: str, label: str, value: str) -> dict[str, Any]:
    """Return a field; nothing in it becomes a link, since people wrote it."""
    named = {"label": label} if label else {}
    return {"key": key, **named, "value": value, "dataDetectorTypes": []}


def _filled(*fields: dict[str, Any]) -> list[dict[str, Any]]:
    return [field for field in fields if field["value"]]


def _when(occasion: Occasion, language: str) -> str:
    return formats.short_time(occasion.starts_at, occasion.timezone, language)


def _local(moment: dt.datetime, occasion: Occasion) -> str:
    """Return a time by the venue's clock, to the second."""
    return moment.astimezone(ZoneInfo(occasion.timezone)).isoformat(timespec="seconds")


def _said(text: str, language: str) -> dict[str, Any]:
    return {"defaultValue": {"language": language, "value": text}}


def _cut_in(ticket: WalletTicket, bytes_max: int, *, has_venue: bool) -> WalletTicket:
    """Return a ticket whose texts of people are no longer than *bytes_max* each."""
    occasion, sheet = ticket.occasion, ticket.sheet
    written = {
        "name": occasion.name,
        "venue": occasion.venue if has_venue else "",
        "address": occasion.address_line,
        "organizer": occasion.organizer,
    }
    own = {name: getattr(sheet, name) for name in ("tier", "section", "row", "seat", "holder")}
    return ticket._replace(
        occasion=replace(occasion, **{n: _cut(text, bytes_max) for n, text in written.items()}),
        sheet=replace(sheet, **{n: _cut(text, bytes_max) for n, text in own.items()}),
    )


def _cut(text: str, bytes_max: int) -> str:
    """Return as much of a text as UTF-8 has in so many bytes, with a mark where it is not all."""
    if len(text.encode()) <= bytes_max:
        return text
    return text.encode()[: bytes_max - 3].decode(errors="ignore").rstrip() + "…"


def _certificate(pem: str, what: str) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(pem.encode())
    except ValueError as error:
        raise WalletError(f"{what} is no certificate in PEM") from error


def _private_key(pem: str) -> rsa.RSAPrivateKey:
    try:
        key = load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError) as error:
        raise WalletError("the key is no private key in PEM, without a password") from error
    if not isinstance(key, rsa.RSAPrivateKey):
        raise WalletError("the key is not RSA")
    return key


@cache
def _icons() -> dict[str, bytes]:
    return {name: files("papers").joinpath("icons", name).read_bytes() for name in _ICONS}
