"""Servers that receive webhooks over real TLS, and misbehave as told."""

import contextlib
import datetime
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

LOOPBACK = "127.0.0.1"
ELSEWHERE = "127.0.0.2"
NAME = "receiver.test"


@dataclass(frozen=True)
class Authority:
    """A certificate authority of one test run, and one certificate that it made."""

    ca_file: Path
    chain_file: Path

    def context(self) -> ssl.SSLContext:
        """For a server."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.chain_file)
        return context


def make_authority(directory: Path) -> Authority:
    """A new authority, whose certificate is for ``NAME``, localhost and the loopback addresses."""
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test authority")])
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    now = datetime.datetime.now(datetime.UTC)

    def builder(subject: x509.Name, public_key: Any) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(ca_name)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(minutes=5))
            .not_valid_after(now + datetime.timedelta(days=1))
        )

    ca = (
        builder(ca_name, ca_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(ca_key, hashes.SHA256())
    )
    names: list[x509.GeneralName] = [x509.DNSName(NAME), x509.DNSName("localhost")]
    names += [x509.IPAddress(ipaddress.ip_address(text)) for text in (LOOPBACK, ELSEWHERE, "::1")]
    certificate = (
        builder(name, key.public_key())
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    ca_file, chain_file = directory / "ca.pem", directory / "server.pem"
    ca_file.write_bytes(ca.public_bytes(pem))
    private = key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    chain_file.write_bytes(private + certificate.public_bytes(pem))
    return Authority(ca_file, chain_file)


@dataclass(frozen=True)
class Received:
    """One request, and when it came (monotonic)."""

    path: str
    headers: dict[str, str]
    body: bytes
    at: float


Behaviour = Callable[[BaseHTTPRequestHandler], None]


def answer(status: int, **headers: str) -> Behaviour:
    """Answers with ``status``; underscores in names of headers become hyphens."""

    def behave(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", "2")
        handler.end_headers()
        handler.wfile.write(b"ok")

    return behave


def hold(until: threading.Event, then: Behaviour | None = None) -> Behaviour:
    """Says nothing before ``until`` is set, a minute at most."""

    def behave(handler: BaseHTTPRequestHandler) -> None:
        until.wait(60)
        (then or answer(200))(handler)

    return behave


def drip(handler: BaseHTTPRequestHandler) -> None:
    """Sends a header a tenth of a second at a time, without end."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
    with contextlib.suppress(OSError):
        while True:
            handler.wfile.write(b"X-Slow: 1\r\n")
            handler.wfile.flush()
            time.sleep(0.1)


@dataclass
class Receiver:
    """A server on a loopback address; by default it answers 200."""

    host: str
    port: int
    requests: list[Received] = field(default_factory=list)
    script: list[Behaviour] = field(default_factory=list)
    """What to do with the next requests, one each; then ``otherwise``."""
    otherwise: Behaviour = field(default_factory=lambda: answer(200))
    changed: threading.Condition = field(default_factory=threading.Condition)

    def url(self, path: str = "/hook", host: str | None = None) -> str:
        return f"https://{host or self.host}:{self.port}{path}"

    def wait_for(self, count: int, timeout_s: float = 30) -> list[Received]:
        """The requests, as soon as there are ``count`` of them."""
        with self.changed:
            came = self.changed.wait_for(lambda: len(self.requests) >= count, timeout_s)
            assert came, f"{len(self.requests)} of {count} requests came in {timeout_s} s"
            return list(self.requests)


@contextlib.contextmanager
def receiver(
    authority: Authority | None, host: str = LOOPBACK, port: int = 0
) -> Iterator[Receiver]:
    """A receiver with TLS, or without where ``authority`` is None."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length", "0"))
            body = self.rfile.read(length)
            headers = {name.lower(): value for name, value in self.headers.items()}
            with found.changed:
                behave = found.script.pop(0) if found.script else found.otherwise
                found.requests.append(Received(self.path, headers, body, time.monotonic()))
                found.changed.notify_all()
            behave(self)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - signature
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        address_family = socket.AF_INET6 if ":" in host else socket.AF_INET

        def finish_request(self, request: Any, client_address: Any) -> None:
            request.settimeout(60)
            if authority is not None:  # the handshake is this thread's, not the listener's
                request = authority.context().wrap_socket(request, server_side=True)
            with contextlib.closing(request):
                Handler(request, client_address, self)

        def handle_error(self, request: Any, client_address: Any) -> None:
            """A client that goes away, or that does not trust us, is what is tested here."""

    server = Server((host, port), Handler)
    found = Receiver(host, server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
