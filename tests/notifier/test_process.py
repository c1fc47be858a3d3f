"""Under `evently up`, with nothing set: letters are there to look at."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aiohttp
import pytest

from loadtests.server import running


@pytest.mark.processes
async def test_a_newcomer_finds_letters_in_the_mailbox(folder: Path) -> None:
    """With nothing set, `evently up` shows what it would send at `/dev/mailbox`."""
    account = {"email": "ada@example.org", "name": "Ada", "password": "a long password of Ada's"}
    async with (
        running(folder, environment="development", sample="off", reconciler_watch_s="0") as server,
        aiohttp.ClientSession() as session,
        asyncio.timeout(60),
    ):
        url = server.base_url
        async with session.post(f"{url}/v1/auth/register", json=account) as answer:
            assert 201 == answer.status, await answer.text()
        text = ""
        while "Prove your address" not in text:
            await asyncio.sleep(0.1)
            async with session.get(f"{url}/dev/mailbox") as answer:
                text = await answer.text()
        assert "ada@example.org" in text
        async with session.get(f"{url}/v1/push/key") as answer:
            assert 200 == answer.status, "a key was made, and the notifier has it"
        async with session.get(f"{url}/readyz") as answer:
            assert "ok" == (await answer.json())["status"]
