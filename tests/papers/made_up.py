"""A made-up authority for wallet passes, and a made-up service account."""

from __future__ import annotations

import datetime as dt
from functools import cache
from typing import NamedTuple

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from papers.wallet import AppleSigner, GoogleSigner, Wallets

PASS_TYPE_ID = "pass.org.example.tickets"
TEAM_ID = "TEAM123456"
ISSUER_ID = "3388000000012345678"
ACCOUNT = "wallet@made-up.iam.gserviceaccount.com"
LIFE = dt.timedelta(days=365)
SUBJECT = {NameOID.USER_ID: PASS_TYPE_ID, NameOID.ORGANIZATIONAL_UNIT_NAME: TEAM_ID}


class Pem(NamedTuple):
    """Certificates and key of a pass type, and the root above, each as PEM."""

    certificate: str
    key: str
    authority: str
    root: str


@cache
def key(number: int) -> rsa.RSAPrivateKey:
    """Return one of a few keys, made once."""
    return rsa.generate_private_key(65_537, 2_048)


def pem_of(private: rsa.RSAPrivateKey) -> str:
    """Return a private key as it stands in a file."""
    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def _certified(
    subject: x509.Name,
    own: int,
    issuer: x509.Name,
    by: int,
    *,
    is_authority: bool,
    life: dt.timedelta,
) -> str:
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key(own).public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(min(now, now + life) - dt.timedelta(days=1))
        .not_valid_after(now + life)
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        .sign(key(by), hashes.SHA256())
    )
    return made.public_bytes(Encoding.PEM).decode()


def _name(common: str, more: dict[x509.ObjectIdentifier, str] | None = None) -> x509.Name:
    named = {NameOID.COMMON_NAME: common} | (more or {})
    return x509.Name([x509.NameAttribute(oid, text) for oid, text in named.items()])


@cache
def pem(
    *, life: dt.timedelta = LIFE, subject: tuple[x509.ObjectIdentifier, ...] = tuple(SUBJECT)
) -> Pem:
    """
    Return a pass type's certificate with all above it: as Apple's, under a root of our own.

    Args:
        life: Of the pass type's certificate; below nothing, it is over.

        subject: What the certificate names of pass type and team.
    """
    root, middle = _name("Made-up Root"), _name("Made-up Developer Relations")
    leaf = _name("Pass Type", {oid: SUBJECT[oid] for oid in subject})
    return Pem(
        _certified(leaf, 2, middle, 1, is_authority=False, life=life),
        pem_of(key(2)),
        _certified(middle, 1, root, 0, is_authority=True, life=LIFE),
        _certified(root, 0, root, 0, is_authority=True, life=LIFE),
    )


def apple(made: Pem | None = None) -> AppleSigner:
    """Return who signs for Apple's wallet."""
    made = made or pem()
    return AppleSigner(certificate=made.certificate, key=made.key, authority=made.authority)


def account() -> str:
    """Return a service account's key as the cloud's console gives it."""
    said = {"type": "service_account", "client_email": ACCOUNT, "private_key": pem_of(key(3))}
    return msgspec.json.encode(said).decode()


@cache
def wallets() -> Wallets:
    """Return who signs for both."""
    return Wallets(apple(), GoogleSigner(issuer_id=ISSUER_ID, account=account()))
