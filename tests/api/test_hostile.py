"""Hostile callers, with real sockets at a real process: unpacking, slowness, nonsense, floods."""

from __future__ import annotations

import gzip
import importlib
import socket
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.api.processes import Heard, Process, counts, post, read, running
from tests.conftest import TIMEOUT_MS
from usecases.tokens import Principal, Tokens

pytestmark = pytest.mark.processes

#: In all that a test throws at the process; neither answers nor logs may have it.
SECRET = "s3cr3t-correct-horse"
ZEROS = bytes(50_000_000)
#: zstandard, one frame of 128 KiB blocks that repeat a byte: 1 GB in 30 KB.
ZSTD = b"\x28\xb5\x2f\xfd\x00\x58" + b"\x02\x00\x10\x00" * 7_600 + b"\x03\x00\x10\x00"
BROTLI = importlib.import_module("brotli").compress(ZEROS, quality=5)
BOMBS = {
    "br": BROTLI,
    "gzip": gzip.compress(ZEROS, 9),
    "deflate": zlib.compress(ZEROS, 9),
    "zstd": ZSTD,
    "GZIP": gzip.compress(ZEROS, 9),
    "gzip, br": gzip.compress(ZEROS, 9),
    "x-unknown": b"{}",
}
COLD = "/v1/auth/login"
HOT = "/v1/events/evt_x/bookings"
LIMITS: dict[str, Any] = {"head_timeout_s": 1, "body_timeout_s": 1, "idle_timeout_s": 2}
#: So that a test whose connection is kept for ever ends; how long exactly, test_watch.py holds.
WAIT_MAX_S = 60.0
#: So often that the work, which the system counts in hundredths of a second, can be compared.
TIMES = 100
#: What a process may grow by for any of this.
GROWTH_BYTES_MAX = 40_000_000

#: As if it had heard a moment ago which tokens are over: else it would refuse all changes before
#: it reads what they bring, since there is no PostgreSQL.
HAS_HEARD = (
    "from usecases.revocations import Revocations;"
    " Revocations.is_shut = property(lambda self: False, lambda self, value: None)"
)


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """Run a process with limits as usual."""
    with running(tmp_path_factory.mktemp("api"), before=HAS_HEARD, log_level="debug") as made:
        yield made


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """Run a process that waits for nobody."""
    folder = tmp_path_factory.mktemp("hasty")
    with running(folder, before=HAS_HEARD, log_level="debug", **LIMITS) as made:
        yield made


@pytest.fixture(scope="module")
def bearer() -> str:
    """Return the header of a user."""
    return f"Authorization: Bearer {token()}"


def token() -> str:
    """Make a token of a user."""
    from tests.api.world import JWT_SECRET  # noqa: PLC0415

    return Tokens(JWT_SECRET, ttl_s=3600).issue(Principal("usr_x", "user", None))


def work_s(process: Process, act: Callable[[], None]) -> float:
    """Return the processor time that the process spends on an act, until it is rid of all of it."""
    before_s = process.cpu_s()
    act()
    end_s = time.monotonic() + WAIT_MAX_S
    while callers(process):
        assert time.monotonic() < end_s, "its connections end"
        time.sleep(0.02)
    assert 200 == process.ask(post("/healthz", method="GET")).status
    return process.cpu_s() - before_s


def check_stays_packed(process: Process, send: Callable[[str], None], encoding: str) -> None:
    """Compare the work with that for the same bytes in an encoding that nobody could unpack."""
    control_s = work_s(process, lambda: send("x-unknown"))
    assert work_s(process, lambda: send(encoding)) < 2 * control_s + 0.05


@pytest.mark.parametrize("path", [COLD, HOT])
@pytest.mark.parametrize("encoding", BOMBS)
def test_s14_s33_never_unpacks(process: Process, bearer: str, path: str, encoding: str) -> None:
    """A compressed body is 415 and stays packed: it costs what any refusal does, no more."""

    def send(name: str) -> None:
        request = post(path, BOMBS[encoding], f"Content-Encoding: {name}", bearer)
        for _ in range(TIMES):
            heard = process.ask(request)
            assert (415, "unsupported_encoding") == (heard.status, heard.code)
            assert "identity" == heard.headers["accept-encoding"]

    check_stays_packed(process, send, encoding)


def test_s14_s33_never_unpacks_in_parts(process: Process) -> None:
    """Nor does it if the body comes chunked, or after the answer."""
    bomb = BOMBS["gzip"]

    def send(name: str) -> None:
        head = f"POST {COLD} HTTP/1.1\r\nHost: x\r\nContent-Encoding: {name}\r\n".encode()
        for _ in range(TIMES):
            with process.connect() as made:
                made.sendall(head + b"Transfer-Encoding: chunked\r\n\r\n")
                assert 415 == read(made).status
                for start in range(0, len(bomb), 4_096):
                    part = bomb[start : start + 4_096]
                    try:
                        made.sendall(b"%x\r\n%s\r\n" % (len(part), part))
                    except OSError:
                        break

    check_stays_packed(process, send, "gzip")


MALFORMED: dict[str, tuple[bytes, int, str]] = {
    "nonsense": (f"{SECRET}\r\n\r\n".encode(), 400, "http_error"),
    "no version": (f"GET /{SECRET}\r\n\r\n".encode(), 505, "version_not_supported"),
    "header": (
        f"GET / HTTP/1.1\r\nHost: x\r\nBad {SECRET} header\r\n\r\n".encode(),
        400,
        "http_error",
    ),
    "null": (
        f"GET / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {SECRET}\0\r\n\r\n".encode(),
        400,
        "http_error",
    ),
    "two hosts": (
        f"GET / HTTP/1.1\r\nHost: x\r\nHost: {SECRET}\r\n\r\n".encode(),
        400,
        "http_error",
    ),
    "no host": (f"GET / HTTP/1.1\r\nX: {SECRET}\r\n\r\n".encode(), 400, "http_error"),
    "bad host": (f"GET /healthz HTTP/1.1\r\nHost: a/{SECRET}\r\n\r\n".encode(), 400, "http_error"),
    "bad host, hot": (
        post(HOT, b"{}").replace(b"Host: x", f"Host: a@{SECRET}".encode()),
        400,
        "http_error",
    ),
    "empty host": (b"GET /healthz HTTP/1.1\r\nHost:\r\n\r\n", 400, "http_error"),
    "length": (
        f"POST {COLD} HTTP/1.1\r\nHost: x\r\nContent-Length: {SECRET}\r\n\r\n".encode(),
        400,
        "http_error",
    ),
    "both lengths": (
        f"POST {COLD} HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n"
        f"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n{SECRET}".encode(),
        400,
        "http_error",
    ),
    "chunk": (
        f"POST {COLD} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        f"{SECRET}\r\n\r\n".encode(),
        400,
        "",
    ),
    "tls": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + SECRET.encode(), 400, "http_error"),
    "long url": (
        f"GET /{SECRET}{'x' * 9_000} HTTP/1.1\r\nHost: x\r\n\r\n".encode(),
        414,
        "uri_too_long",
    ),
    "long header": (
        f"GET / HTTP/1.1\r\nHost: x\r\nCookie: {SECRET}{'x' * 9_000}\r\n\r\n".encode(),
        431,
        "headers_too_large",
    ),
    "many headers": (
        f"GET / HTTP/1.1\r\nHost: x\r\n{f'X: {SECRET}' * 1}\r\n".encode()
        + b"Y: z\r\n" * 200
        + b"\r\n",
        431,
        "headers_too_large",
    ),
    "method": (f"WHATEVER /{SECRET} HTTP/1.1\r\nHost: x\r\n\r\n".encode(), 501, "not_implemented"),
    "transfer coding": (
        f"POST {COLD} HTTP/1.1\r\nHost: x\r\nX: {SECRET}\r\nTransfer-Encoding: gzip, chunked"
        "\r\n\r\n0\r\n\r\n".encode(),
        501,
        "not_implemented",
    ),
    "version": (
        f"GET /{SECRET} HTTP/3.7\r\nHost: x\r\n\r\n".encode(),
        505,
        "version_not_supported",
    ),
    "http/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "version_not_supported"),
    "expectation": (
        f"POST {COLD} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n"
        f"Expect: {SECRET}\r\n\r\n{{}}".encode(),
        417,
        "http_error",
    ),
    "expectation nowhere": (
        f"POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n"
        f"Expect: {SECRET}\r\n\r\n{{}}".encode(),
        417,
        "http_error",
    ),
    "large body": (post(COLD, b"x" * 70_000), 413, "too_large"),
    "large body, hot": (post(HOT, b"x" * 70_000), 413, "too_large"),
    "large body to come": (
        f"POST {COLD} HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999\r\n"
        "Expect: 100-continue\r\n\r\n".encode(),
        413,
        "too_large",
    ),
    "large chunks": (
        f"POST {COLD} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
        + b"fff0\r\n"
        + b"x" * 0xFFF0
        + b"\r\nfff0\r\n"
        + b"x" * 0xFFF0
        + b"\r\n0\r\n\r\n",
        413,
        "too_large",
    ),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_s28_s34_malformed(process: Process, name: str) -> None:
    """What is no good HTTP is a problem like all others, and nothing of it is told or kept."""
    request, status, code = MALFORMED[name]
    heard = process.ask(request)
    assert (status, "HTTP/1.1") == (heard.status, heard.version), heard.raw
    assert heard.code == code or not code
    assert SECRET.encode() not in heard.raw
    assert SECRET not in process.log()
    assert "Traceback" not in process.log()
    assert '"level":"error"' not in process.log()


def test_s34_path_that_is_no_text(process: Process) -> None:
    """Bytes of a path that are no text are no failure of ours."""
    heard = process.ask(b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n")
    assert heard.status in {400, 404}
    assert heard.code


def test_s28_tokens_stay_out_of_the_log(process: Process) -> None:
    """S28: a ticket's code in a path is not logged when what is below fails."""
    staff = Principal("usr_s", "staff", "org_x")
    from tests.api.world import JWT_SECRET  # noqa: PLC0415

    signed = Tokens(JWT_SECRET, ttl_s=3600).issue(staff)
    heard = process.ask(
        post(f"/v1/tickets/{SECRET}/transfer", b'{"email": "a@example.org"}', bearer_of(signed))
    )
    assert heard.status in {404, 422, 503}
    process.ask(post(COLD, b'{"email": "a@example.org", "password": "%s"}' % SECRET.encode()))
    log = process.log()
    assert SECRET not in log
    assert signed not in log


def bearer_of(signed: str) -> str:
    """Write the header."""
    return f"Authorization: Bearer {signed}"


def test_s37_hanging_up_is_no_failure(process: Process) -> None:
    """A caller who leaves in mid-body is counted as that, not as a failure of the database."""
    before, failures = counts(process), process.log().count("database_failed")
    head = f"POST {COLD} HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n"
    for _ in range(5):
        with process.connect() as made:
            made.sendall(f"{head}Expect: 100-continue\r\n\r\n".encode())
            assert b" 100 " in made.recv(100)  # It waits for the body.
            made.sendall(b"{")
    grown: dict[tuple[str, str], int] = {}
    end_s = time.monotonic() + WAIT_MAX_S
    while sum(grown.values()) < 5:
        assert time.monotonic() < end_s, grown
        after = counts(process)
        grown = {key: after[key] - before.get(key, 0) for key in after if key[0] == COLD}
    assert {(COLD, "499"): 5} == {key: number for key, number in grown.items() if number}
    assert failures == process.log().count("database_failed")


def test_s37_database_away_is_a_failure(process: Process) -> None:
    """What is ours is still told as ours: nobody listens where PostgreSQL should be."""
    body = b'{"email": "a@example.org", "password": "correct horse"}'
    heard = process.ask(post(COLD, body))
    assert (503, "database_unavailable") == (heard.status, heard.code)
    assert "database_failed" in process.log()


def test_every_answer_is_guarded(process: Process, bearer: str) -> None:
    """Every kind of answer says that it is no page, and not what version of what has made it."""
    answers = [
        process.ask(post("/healthz", method="GET")),
        process.ask(post("/metrics", method="GET")),
        process.ask(post("/problems", method="GET")),
        process.ask(post("/nowhere", method="GET")),
        process.ask(post("/healthz", method="DELETE")),
        process.ask(post("/healthz", method="OPTIONS")),
        process.ask(post(HOT, b"{}", bearer)),
        process.ask(b"nonsense\r\n\r\n"),
    ]
    for heard in answers:
        assert "Evently" == heard.headers["server"]
        assert "nosniff" == heard.headers["x-content-type-options"]
        assert "default-src 'none'" in heard.headers["content-security-policy"]
        assert "no-referrer" == heard.headers["referrer-policy"]
        assert heard.headers["x-request-id"]
        head = heard.raw.removesuffix(heard.body).lower()
        assert b"aiohttp" not in heard.raw.lower()
        assert b"python" not in head


def last_words(made: socket.socket) -> bytes:
    """Wait until the other side hangs up; return what it has said."""
    said = b""
    made.settimeout(WAIT_MAX_S)
    while True:
        try:
            data = made.recv(65_536)
        except ConnectionResetError:
            data = b""
        if not data:
            return said
        said += data


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"", 0),
        (b"\r\n", 408),
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\n", 408),
        (f"POST {COLD} HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\nx".encode(), 408),
        (f"POST {HOT} HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\nx".encode(), 401),
        (f"POST {COLD} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode(), 408),
    ],
)
def test_s15_who_never_finishes(hasty: Process, sent: bytes, status: int) -> None:
    """Heads and bodies that do not come are not waited for; who has begun is told."""
    with hasty.connect() as made:
        made.sendall(sent)
        said = last_words(made)
    assert said[:13] == (f"HTTP/1.1 {status} ".encode() if status else b"")


def test_s15_who_trickles(hasty: Process) -> None:
    """A byte now and then keeps no connection: the time is that of the whole head, or body."""
    for head in (b"GET /healthz HTTP/1.1\r\nX: ", post(COLD)[:-4].replace(b": 0", b": 60000")):
        with hasty.connect() as made:
            made.sendall(head if head.startswith(b"GET") else head + b"\r\n\r\n")
            end_s, is_open = time.monotonic() + WAIT_MAX_S, True
            while is_open and time.monotonic() < end_s:
                time.sleep(0.2)
                try:
                    made.sendall(b"x")
                    made.settimeout(0.01)
                    is_open = b"408" not in made.recv(100)
                except TimeoutError:
                    pass
                except OSError:
                    is_open = False
            assert not is_open


def test_s15_idle_connection_ends(hasty: Process, bearer: str) -> None:
    """After an answer the next request is waited for, hot or not, and no longer than is set."""
    for request in (post("/healthz", method="GET"), post(HOT, b"{}", bearer)):
        with hasty.connect() as made:
            for _ in range(2):
                made.sendall(request)
                assert read(made).status
            assert b"" == last_words(made)


def test_s15_slow_reader(tmp_path: Path) -> None:
    """Who does not read what it asked for is let go."""
    with (
        running(
            tmp_path,
            before="import api.watch; api.watch.READER_GRACE_S = 1",
            reader_bytes_per_s_min=1_048_576,
            idle_timeout_s=3_600,
        ) as made,
        made.connect(receive_buffer_bytes=4_096) as reader,
    ):
        # More than the kernel takes for it, which is no longer ours to see.
        reader.sendall(post("/openapi.json", method="GET") * 200)
        assert 200 == made.ask(post("/healthz", method="GET")).status
        assert reader.getsockname() in callers(made)
        end_s = time.monotonic() + WAIT_MAX_S
        while reader.getsockname() in callers(made):
            assert time.monotonic() < end_s
            time.sleep(0.2)


def rss_bytes(process: Process) -> int:
    """Return the memory that the process has."""
    return int(psutil.Process(process.child.pid).memory_info().rss)


def test_s15_five_hundred_who_drip(hasty: Process) -> None:
    """Five hundred heads of a byte now and then are let go; all others are served meanwhile."""
    before = rss_bytes(hasty)
    with ExitStack() as stack:
        sockets = [stack.enter_context(hasty.connect()) for _ in range(500)]
        for one in sockets:
            one.sendall(b"GET /healthz HTTP/1.1\r\nX: ")
        end_s, is_gone = time.monotonic() + WAIT_MAX_S, False
        while not is_gone:
            assert time.monotonic() < end_s
            assert 200 == hasty.ask(post("/healthz", method="GET")).status
            for one in sockets:
                try:
                    one.send(b"x")
                except OSError:
                    continue
            is_gone = not callers(hasty)
            time.sleep(0.1)
    assert rss_bytes(hasty) - before < GROWTH_BYTES_MAX


def test_s15_memory_of_slow_readers(tmp_path: Path) -> None:
    """Who asks for much and reads nothing costs what a connection may hold, however much it is."""
    with running(tmp_path, head_timeout_s=60) as made, ExitStack() as stack:
        made.ask(post("/openapi.json", method="GET"))
        before = rss_bytes(made)
        for _ in range(40):
            reader = stack.enter_context(made.connect(receive_buffer_bytes=4_096))
            reader.settimeout(0.2)
            # 500 answers of some 100 KB each, until it is no longer read from.
            with suppress(TimeoutError):
                reader.sendall(post("/openapi.json", method="GET") * 500)
        assert 200 == made.ask(post("/healthz", method="GET")).status
        assert rss_bytes(made) - before < GROWTH_BYTES_MAX


def test_s14_memory_of_bad_requests(process: Process, bearer: str) -> None:
    """However large what is refused would be, nothing of it stays."""
    asked = [
        post(path, body, bearer)
        for path in (COLD, HOT)
        for body in (b"x" * 60_000, b"[" * 60_000, b'{"a":' * 10_000, b"9" * 60_000)
    ]
    asked += [
        f"GET /{'x' * 8_000} HTTP/1.1\r\nHost: x\r\n\r\n".encode(),
        b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 90 + b"\r\n",
    ]

    def send() -> None:
        for request in asked:
            assert process.ask(request).status in {200, 400, 404, 422}

    for _ in range(5):
        send()
    before = rss_bytes(process)
    for _ in range(30):
        send()
    assert rss_bytes(process) - before < GROWTH_BYTES_MAX


def callers(process: Process) -> set[tuple[str, int]]:
    """Return the other ends of the connections that the process has taken."""
    found = psutil.Process(process.child.pid).net_connections("tcp")
    return {one.raddr for one in found if one.raddr and one.laddr.port == process.port}


def test_s15_more_connections_than_files(tmp_path: Path) -> None:
    """A process that has all the connections it can hold lets others wait."""
    files_max = 300
    with running(tmp_path, files_max=files_max, head_timeout_s=3) as made, ExitStack() as stack:
        for _ in range(files_max + 50):
            stack.enter_context(closing(made.connect()))
        # It waits in the kernel until the silent ones are gone; test_listener.py counts the tries.
        assert 200 == made.ask(post("/healthz", method="GET")).status
        assert "accept" not in made.log()


def test_file_limit_is_raised(tmp_path: Path) -> None:
    """The soft limit of open files is raised to the hard one at the start."""
    with running(tmp_path, files_max=512) as made:
        limits = Path(f"/proc/{made.child.pid}/limits").read_text()
    [line] = [one for one in limits.splitlines() if one.startswith("Max open files")]
    assert ["512", "512"] == line.split()[3:5]


def said(heard: Heard, name: str) -> list[str]:
    """Return the members of a header that is a list."""
    return [one.strip() for one in heard.headers.get(name, "").split(",")]


def test_cross_origin(tmp_path: Path) -> None:
    """Pages of sites that are named may use the API from a browser, on every way; others not."""
    ours, theirs = "https://shop.example.org", "https://evil.example.org"
    with running(tmp_path, cors_origins=f"{ours}, http://localhost:3000") as made:
        for request in (post("/healthz", method="GET"), post(HOT, b"{}"), post("/v1/nowhere")):
            allowed = made.ask(request.replace(b"Host: x", f"Host: x\r\nOrigin: {ours}".encode()))
            assert ours == allowed.headers["access-control-allow-origin"]
            assert "Retry-After" in said(allowed, "access-control-expose-headers")
            other = made.ask(request.replace(b"Host: x", f"Host: x\r\nOrigin: {theirs}".encode()))
            none = made.ask(request)
            for heard in (allowed, other, none):
                assert "Origin" in said(heard, "vary")
                assert "access-control-allow-credentials" not in heard.headers
            for heard in (other, none):
                assert "access-control-allow-origin" not in heard.headers
        asking = "Access-Control-Request-Method: POST"
        preflight = made.ask(post(HOT, b"", f"Origin: {ours}", asking, method="OPTIONS"))
        assert (204, ours) == (preflight.status, preflight.headers["access-control-allow-origin"])
        assert ["OPTIONS", "POST"] == said(preflight, "access-control-allow-methods")
        assert "Idempotency-Key" in said(preflight, "access-control-allow-headers")
        refused = made.ask(post(HOT, b"", f"Origin: {theirs}", asking, method="OPTIONS"))
        assert "access-control-allow-origin" not in refused.headers
        assert "access-control-allow-methods" not in refused.headers


def test_no_cross_origin_unless_set(process: Process) -> None:
    """Without a list nothing is said, and browsers refuse."""
    heard = process.ask(post("/healthz", b"", "Origin: https://a.example", method="GET"))
    assert not [name for name in heard.headers if name.startswith("access-control")]


def test_methods_of_a_path(process: Process) -> None:
    """OPTIONS tells what a path has; HEAD is GET without the body."""
    heard = process.ask(post("/v1/events", method="OPTIONS"))
    assert (204, ["GET", "HEAD", "OPTIONS", "POST"]) == (heard.status, said(heard, "allow"))
    assert 404 == process.ask(post("/nowhere", method="OPTIONS")).status
    assert 204 == process.ask(b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n").status
    with process.connect() as made:
        for path in ("/healthz", "/problems", "/openapi.json", "/v1/receipt-key", "/v1/me"):
            made.sendall(post(path, method="GET"))
            got = read(made)
            made.sendall(post(path, method="HEAD"))
            made.settimeout(TIMEOUT_MS / 1000)
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += made.recv(65_536)
            # A body would be read as the next answer.
            assert f"HTTP/1.1 {got.status}".encode() in head
            assert f"Content-Length: {len(got.body)}".lower().encode() in head.lower()


def test_bearer_has_no_case(process: Process) -> None:
    """The scheme's name is read in any case, with any number of blanks."""
    for scheme in ("Bearer ", "bearer ", "BEARER   "):
        heard = process.ask(post(HOT, b"{}", f"Authorization: {scheme}{token()}"))
        # Let in, and asked for the next thing; a stranger would be told so first.
        assert "idempotency_key_missing" == heard.code
    assert "unauthorized" == process.ask(post(HOT, b"{}", "Authorization: Basic eA==")).code
