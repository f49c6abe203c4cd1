"""Requests to strangers over real sockets and real TLS: only there do they misbehave as they do."""

import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.clock import NOON
from tests.receivers import (
    ELSEWHERE,
    LOOPBACK,
    NAME,
    Authority,
    Receiver,
    answer,
    drip,
    hold,
    make_authority,
    receiver,
)
from whisperdrop.adapters.outbound import SocketOutbound
from whisperdrop.domain.webhook_signature import new_secret
from whisperdrop.domain.webhook_target import TargetRules, parse_networks
from whisperdrop.ports import Endpoint, HttpAnswer, NotConnectedError, UnreachableError
from whisperdrop.service.courier import Courier

BODY = b'{"type":"job.succeeded"}'


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def server(authority: Authority) -> Iterator[Receiver]:
    with receiver(authority) as running:
        yield running


@pytest.fixture
def outbound(authority: Authority) -> SocketOutbound:
    return SocketOutbound(str(authority.ca_file))


def post(
    outbound: SocketOutbound, server: Receiver, *, timeout_s: float = 5, **fields: Any
) -> HttpAnswer:
    """To the receiver, under the name that its certificate is for."""
    where: dict[str, Any] = {
        "address": LOOPBACK,
        "port": server.port,
        "host": NAME,
        "authority": f"{NAME}:{server.port}",
        "path": "/hook?a=b",
    }
    headers = {"Content-Type": "application/json"}
    return outbound.post(Endpoint(**where | fields), headers, BODY, timeout_s=timeout_s)


def courier(outbound: SocketOutbound, *networks: str, timeout_s: float = 5) -> Courier:
    rules = TargetRules(allowed_networks=parse_networks(networks), ports=())
    return Courier(outbound, rules, timeout_s=timeout_s, agent="Whisperdrop/test")


def test_the_body_arrives_under_the_name_that_was_asked_for(
    outbound: SocketOutbound, server: Receiver
) -> None:
    assert post(outbound, server) == HttpAnswer(200)
    [request] = server.requests
    assert (request.path, request.body) == ("/hook?a=b", BODY)
    assert request.headers["host"] == f"{NAME}:{server.port}"
    assert request.headers["content-type"] == "application/json"


def test_status_and_retry_after_come_back(outbound: SocketOutbound, server: Receiver) -> None:
    server.script = [answer(503, Retry_After="120")]
    assert post(outbound, server) == HttpAnswer(503, "120")


def test_a_redirect_is_not_followed(
    outbound: SocketOutbound, server: Receiver, authority: Authority
) -> None:
    with receiver(authority) as secret:
        server.script = [answer(307, Location=secret.url("/admin"))]
        assert post(outbound, server).status == 307
        assert secret.requests == []


def test_a_certificate_for_another_name_is_refused(
    outbound: SocketOutbound, server: Receiver
) -> None:
    with pytest.raises(UnreachableError, match="certificate was refused"):
        post(outbound, server, host="example.com")
    assert server.requests == []


def test_a_certificate_of_an_unknown_authority_is_refused(server: Receiver) -> None:
    with pytest.raises(UnreachableError, match="certificate was refused"):
        post(SocketOutbound(), server)
    assert server.requests == []


def test_a_server_without_tls_is_refused(outbound: SocketOutbound) -> None:
    with receiver(None) as plain, pytest.raises(UnreachableError):
        post(outbound, plain, timeout_s=2)


def test_without_tls_where_that_was_allowed(outbound: SocketOutbound) -> None:
    with receiver(None) as plain:
        assert post(outbound, plain, tls=False).status == 200
        assert plain.requests[0].body == BODY


def test_nobody_listens(outbound: SocketOutbound, server: Receiver) -> None:
    with pytest.raises(NotConnectedError, match="does not accept connections"):
        post(outbound, server, address=ELSEWHERE)


@pytest.mark.parametrize("where", ["headers", "silence", "handshake"])
def test_a_slow_server_costs_no_more_than_the_deadline(
    where: str, outbound: SocketOutbound, server: Receiver
) -> None:
    released = threading.Event()
    server.otherwise = drip if where == "headers" else hold(released)
    began = time.monotonic()
    with socket.create_server((LOOPBACK, 0)) as mute:  # accepts, and never says a word
        port = mute.getsockname()[1] if where == "handshake" else server.port
        with pytest.raises(UnreachableError):
            post(outbound, server, timeout_s=0.7, port=port)
    assert 0.5 < time.monotonic() - began < 3
    released.set()


def test_a_body_without_end_is_not_read_to_the_end(
    outbound: SocketOutbound, server: Receiver
) -> None:
    def flood(handler: Any) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(10**12))
        handler.end_headers()
        try:
            while True:
                handler.wfile.write(b"x" * 65536)
        except OSError:
            stopped.set()

    stopped = threading.Event()
    server.script = [flood]
    began = time.monotonic()
    assert post(outbound, server, timeout_s=20).status == 200
    assert time.monotonic() - began < 5
    assert stopped.wait(10)


def test_what_is_no_http_is_no_answer(outbound: SocketOutbound, server: Receiver) -> None:
    def greet(handler: Any) -> None:
        handler.wfile.write(b"220 smtp.example.com ESMTP\r\n")

    server.script = [greet]
    with pytest.raises(UnreachableError, match="no valid HTTP answer"):
        post(outbound, server)


def test_no_proxy_of_the_environment_is_used(
    outbound: SocketOutbound, server: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("https_proxy", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert post(outbound, server).status == 200


def test_a_name_that_cannot_be_resolved_says_so(outbound: SocketOutbound) -> None:
    with pytest.raises(UnreachableError, match="cannot be resolved"):
        outbound.resolve("no-such-host.invalid", timeout_s=20)


def test_a_lookup_that_hangs_does_not_hang_us(
    outbound: SocketOutbound, monkeypatch: pytest.MonkeyPatch
) -> None:
    released = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: released.wait(30) and [])
    began = time.monotonic()
    with pytest.raises(UnreachableError, match="not resolved in time"):
        outbound.resolve("slow.example.com", timeout_s=0.2)
    assert time.monotonic() - began < 5
    released.set()


class Rebinding:
    """A name server that gives another address each time it is asked."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = list(addresses)
        self.asked = 0

    def __call__(self, host: Any, port: Any, *_: Any, **__: Any) -> list[Any]:
        assert host == NAME
        address = self.addresses[min(self.asked, len(self.addresses) - 1)]
        self.asked += 1
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0))]


def test_a_name_that_changes_its_address_after_the_check_gains_nothing(
    outbound: SocketOutbound, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = Rebinding(LOOPBACK, ELSEWHERE)
    with receiver(authority) as judged, receiver(authority, ELSEWHERE, judged.port) as inside:
        monkeypatch.setattr(socket, "getaddrinfo", names)
        sent = courier(outbound, f"{LOOPBACK}/32").send(
            judged.url(host=NAME), "job_1", BODY, (new_secret(),), NOON
        )
        assert sent.delivered, sent.error
        assert (len(judged.requests), len(inside.requests)) == (1, 0)
        assert names.asked == 1

        # And once it has changed, the check sees the new one: nothing is sent at all.
        again = courier(outbound, f"{LOOPBACK}/32").send(
            judged.url(host=NAME), "job_1", BODY, (new_secret(),), NOON
        )
        assert "not on the public internet" in (again.error or "")
        assert (len(judged.requests), len(inside.requests)) == (1, 0)


def test_without_leave_nothing_on_loopback_is_reached(
    outbound: SocketOutbound, server: Receiver
) -> None:
    for host in (LOOPBACK, "localhost", "2130706433", "0x7f.1", "127.1"):
        sent = courier(outbound).send(server.url(host=host), "job_1", BODY, (new_secret(),), NOON)
        assert "not on the public internet" in (sent.error or ""), host
    assert server.requests == []


def test_no_file_descriptor_and_no_thread_is_left_behind(
    outbound: SocketOutbound, server: Receiver
) -> None:
    def open_files() -> int:
        return len(list(Path(f"/proc/{os.getpid()}/fd").iterdir()))

    post(outbound, server)
    before = open_files(), {t.name for t in threading.enumerate() if "Timer" in t.name}
    for _ in range(20):
        post(outbound, server)
        with pytest.raises(UnreachableError):
            post(outbound, server, host="example.com")
    after = open_files(), {t.name for t in threading.enumerate() if "Timer" in t.name}
    assert after[0] <= before[0] + 4  # the server's side closes in its own time
    assert after[1] == before[1]
