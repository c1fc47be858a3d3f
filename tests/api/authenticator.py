"""A device with passkeys, as a browser speaks with it: real keys, attestations and assertions."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from typing import Any

import cbor2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

RP_ID = "tickets.example"
ORIGIN = "https://tickets.example"

ES256, EDDSA, RS256 = -7, -8, -257
PRESENT, VERIFIED, MAY_BE_COPIED, IS_COPIED, HAS_KEY = 0x01, 0x04, 0x08, 0x10, 0x40


class Authenticator:
    """One passkey and the counter beside it."""

    def __init__(self, algorithm: int = ES256, *, counts: bool = True) -> None:
        """
        Args:
            algorithm: In COSE's numbers.

            counts: Whether it counts its signatures; one that is copied everywhere does not.
        """
        self.id = secrets.token_bytes(32)
        self.count = 0
        self.user_handle = ""
        self._counts = counts
        self._algorithm = algorithm
        self._key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey
        if algorithm == ES256:
            self._key = ec.generate_private_key(ec.SECP256R1())
        elif algorithm == EDDSA:
            self._key = ed25519.Ed25519PrivateKey.generate()
        else:
            self._key = rsa.generate_private_key(65_537, 2_048)

    def create(self, options: dict[str, Any], **twists: Any) -> dict[str, Any]:
        """
        Answer `navigator.credentials.create` as `toJSON()` writes it.

        Args:
            twists: What shall not be as it should: `challenge`, `origin`, `type`, `frame`, `rp_id`,
                `flags`, `statement`, `algorithm`.
        """
        self.user_handle = options["user"]["id"]
        key = self._public_key() | ({3: twists["algorithm"]} if "algorithm" in twists else {})
        credential = len(self.id).to_bytes(2, "big") + self.id + cbor2.dumps(key)
        data = self._data(options["rp"]["id"], HAS_KEY, twists) + bytes(16) + credential
        statement = twists.get("statement", {})
        attestation = cbor2.dumps({"fmt": "none", "attStmt": statement, "authData": data})
        client_data = _client_data(twists.get("type", "webauthn.create"), options, twists)
        return self._told(
            clientDataJSON=text(client_data),
            attestationObject=text(attestation),
            transports=["internal", "hybrid", "by-thought"],
            publicKeyAlgorithm=self._algorithm,
        )

    def get(self, options: dict[str, Any], **twists: Any) -> dict[str, Any]:
        """
        Answer `navigator.credentials.get`; see `create`.

        Args:
            twists: Besides, `user_handle`, `count`, `signature` and `id`.
        """
        self.count = twists.get("count", self.count + self._counts)
        data = self._data(options["rpId"], 0, twists)
        client_data = _client_data(twists.get("type", "webauthn.get"), options, twists)
        signed = data + hashlib.sha256(client_data).digest()
        answer = self._told(
            clientDataJSON=text(client_data),
            authenticatorData=text(data),
            signature=text(twists.get("signature") or self._sign(signed)),
            userHandle=twists.get("user_handle", self.user_handle),
        )
        own_id = twists.get("id", answer["id"])
        return answer | {"id": own_id, "rawId": own_id}

    def _told(self, **response: Any) -> dict[str, Any]:
        return {
            "id": text(self.id),
            "rawId": text(self.id),
            "type": "public-key",
            "authenticatorAttachment": "platform",
            "clientExtensionResults": {"credProps": {"rk": True}},
            "response": response,
        }

    def _data(self, rp_id: str, flags: int, twists: dict[str, Any]) -> bytes:
        site = hashlib.sha256(twists.get("rp_id", rp_id).encode()).digest()
        owner = twists.get("flags", PRESENT | VERIFIED | MAY_BE_COPIED | IS_COPIED)
        return site + bytes([flags | owner]) + self.count.to_bytes(4, "big")

    def _public_key(self) -> dict[int, Any]:
        match self._key:
            case ec.EllipticCurvePrivateKey():
                numbers = self._key.public_key().public_numbers()
                x, y = (number.to_bytes(32, "big") for number in (numbers.x, numbers.y))
                return {1: 2, 3: ES256, -1: 1, -2: x, -3: y}
            case ed25519.Ed25519PrivateKey():
                return {1: 1, 3: EDDSA, -1: 6, -2: self._key.public_key().public_bytes_raw()}
            case _:
                modulus = self._key.public_key().public_numbers().n
                return {1: 3, 3: RS256, -1: modulus.to_bytes(256, "big"), -2: b"\1\0\1"}

    def _sign(self, signed: bytes) -> bytes:
        match self._key:
            case ec.EllipticCurvePrivateKey():
                return self._key.sign(signed, ec.ECDSA(hashes.SHA256()))
            case ed25519.Ed25519PrivateKey():
                return self._key.sign(signed)
            case _:
                return self._key.sign(signed, padding.PKCS1v15(), hashes.SHA256())


def text(raw: bytes) -> str:
    """Write bytes as WebAuthn does: base64url without padding."""
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _client_data(kind: str, options: dict[str, Any], twists: dict[str, Any]) -> bytes:
    said = {
        "type": kind,
        "challenge": twists.get("challenge", options["challenge"]),
        "origin": twists.get("origin", ORIGIN),
        "crossOrigin": twists.get("frame", False),
    }
    return json.dumps(said).encode()
