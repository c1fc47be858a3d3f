"""`/dev/mailbox`: letters to look at on a development machine, in a sandbox, and nowhere else."""

from __future__ import annotations

from pathlib import Path

import pytest
from aiohttp.test_utils import TestClient, TestServer

from evently.settings import Settings, SettingsError
from tests.api.conftest import make_app
from usecases.wiring import Options

NAME = "00000001800000000000-000001"
LETTER = (
    b"From: a@example.org\r\nTo: Ada <ada@example.org>\r\nSubject: =?utf-8?q?=3Cscript=3E?=\r\n"
    b'MIME-Version: 1.0\r\nContent-Type: multipart/alternative; boundary="b"\r\n\r\n'
    b"--b\r\nContent-Type: text/plain\r\n\r\nplain words\r\n"
    b"--b\r\nContent-Type: text/html\r\n\r\n<p onclick=x>rich words</p>\r\n--b--\r\n"
)


@pytest.fixture
def mailbox(tmp_path: Path) -> Path:
    """Return a folder with a letter."""
    (tmp_path / f"{NAME}.eml").write_bytes(LETTER)
    (tmp_path / "secret.txt").write_text("no letter")
    return tmp_path


async def test_letters_are_shown(options: Options, mailbox: Path) -> None:
    """The list, a letter, its HTML in a sandbox, its text, and all of it; escaped, kept nowhere."""
    async with TestClient(TestServer(make_app(options, mailbox=str(mailbox)))) as client:
        for path, said, csp in (
            ("", "&lt;script&gt;", "default-src 'none'"),
            (f"/{NAME}", "Ada &lt;ada@example.org&gt;", "default-src 'none'"),
            (f"/{NAME}/html", "<p onclick=x>rich words</p>", "sandbox; default-src 'none'"),
            (f"/{NAME}/text", "plain words", "sandbox"),
            (f"/{NAME}/raw", "Subject: ", "sandbox"),
        ):
            answer = await client.get(f"/dev/mailbox{path}")
            text = await answer.text()
            assert 200 == answer.status, path
            assert said in text
            assert "<script>" not in text or path.endswith("raw")
            assert answer.headers["Content-Security-Policy"].startswith(csp)
            assert "no-store" == answer.headers["Cache-Control"]
        for path in ("/secret", "/..%2Fsecret", f"/{NAME}/pdf", f"/{NAME[:-1]}2"):
            assert 404 == (await client.get(f"/dev/mailbox{path}")).status, path
        other = await client.get("/dev/mailbox", headers={"Host": "evil.example"})
        assert 404 == other.status


async def test_there_is_none_in_production(options: Options) -> None:
    """Without a folder there is no such page, and production refuses one."""
    async with TestClient(TestServer(make_app(options))) as client:
        assert 404 == (await client.get("/dev/mailbox")).status
    with pytest.raises(SettingsError, match="not in production"):
        Settings.from_env({"EVENTLY_ENVIRONMENT": "production", "EVENTLY_MAILBOX_DIR": "mail"})
