"""The outbound port on plain sockets: to the address that was judged, and to no other.

No proxy of the environment is used, no redirect is followed, no name is looked up once an address
was chosen. A watchdog closes the connection at the deadline, because time-outs of single reads
never end a server that sends a byte now and then.
"""

import contextlib
import functools
import http.client
import ipaddress
import queue
import socket
import ssl
import threading
import time
from collections.abc import Iterator

from whisperdrop.ports import Endpoint, HttpAnswer, NotConnectedError, UnreachableError

_CONNECT_S = 4.0
_BODY_BYTES = 4096
"""Read of an answer, and thrown away: a server that is cut off while it writes logs an error."""

_Lookup = tuple[str, ...] | OSError | UnicodeError


class SocketOutbound:
    """Safe to share among threads; each request has a connection of its own."""

    def __init__(self, ca_file: str | None = None) -> None:
        self._ca_file = ca_file

    @functools.cached_property
    def _tls(self) -> ssl.SSLContext:
        """Made at the first request: reading the system's certificates takes a while."""
        context = ssl.create_default_context()
        if self._ca_file is not None:
            context.load_verify_locations(self._ca_file)
        context.set_alpn_protocols(["http/1.1"])
        return context

    def resolve(self, host: str, *, timeout_s: float) -> tuple[str, ...]:
        answer: queue.SimpleQueue[_Lookup] = queue.SimpleQueue()
        # getaddrinfo knows no time-out. A lookup that hangs ends by itself, with nobody waiting.
        threading.Thread(target=_look_up, args=(host, answer), name="resolve", daemon=True).start()
        try:
            found = answer.get(timeout=max(0.0, timeout_s))
        except queue.Empty:
            raise UnreachableError(f"the name {host} was not resolved in time") from None
        if isinstance(found, Exception):
            raise UnreachableError(f"the name {host} cannot be resolved") from found
        return found

    def post(
        self, endpoint: Endpoint, headers: dict[str, str], body: bytes, *, timeout_s: float
    ) -> HttpAnswer:
        deadline = time.monotonic() + timeout_s
        with contextlib.closing(_connect(endpoint, timeout_s)) as plain, _cut(plain, deadline):
            try:
                return self._exchange(plain, endpoint, headers, body, deadline)
            except ssl.SSLCertVerificationError as error:
                reason = f"the target's certificate was refused: {error.verify_message}"
                raise UnreachableError(reason) from error
            except (OSError, http.client.HTTPException, ValueError) as error:
                if time.monotonic() >= deadline:
                    raise UnreachableError(_late(timeout_s)) from error
                what = "TLS failed" if isinstance(error, ssl.SSLError) else "no valid HTTP answer"
                raise UnreachableError(f"{what} on the connection to the target") from error

    def _exchange(
        self,
        plain: socket.socket,
        endpoint: Endpoint,
        headers: dict[str, str],
        body: bytes,
        deadline: float,
    ) -> HttpAnswer:
        connection = http.client.HTTPConnection(endpoint.host, endpoint.port)
        connection.auto_open = 0  # it would look the name up, and connect to whatever it finds
        connection.sock = plain
        if endpoint.tls:
            connection.sock = self._tls.wrap_socket(plain, server_hostname=endpoint.host)
        with contextlib.closing(connection):
            connection.request("POST", endpoint.path, body, {"Host": endpoint.authority, **headers})
            response = connection.getresponse()
            answer = HttpAnswer(response.status, response.getheader("Retry-After"))
            if time.monotonic() >= deadline:  # cut off within the headers: that is no answer
                raise TimeoutError
            with contextlib.suppress(OSError, http.client.HTTPException):
                response.read1(_BODY_BYTES)
            return answer


def _look_up(host: str, answer: "queue.SimpleQueue[_Lookup]") -> None:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        answer.put(error)
    else:
        answer.put(tuple(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found)))


def _connect(endpoint: Endpoint, timeout_s: float) -> socket.socket:
    version = ipaddress.ip_address(endpoint.address).version
    family = socket.AF_INET6 if version == 6 else socket.AF_INET
    plain = socket.socket(family, socket.SOCK_STREAM)
    try:
        plain.settimeout(max(0.001, min(_CONNECT_S, timeout_s)))
        plain.connect((endpoint.address, endpoint.port))
        plain.settimeout(max(0.001, timeout_s))
    except OSError as error:
        plain.close()
        raise NotConnectedError("the target does not accept connections") from error
    return plain


@contextlib.contextmanager
def _cut(plain: socket.socket, deadline: float) -> Iterator[None]:
    """End the connection at ``deadline``, from whatever the thread is waiting for on it."""
    # A socket of our own on the same connection: wrapping in TLS takes the file descriptor away.
    guard = plain.dup()

    def cut() -> None:
        with contextlib.suppress(OSError):
            guard.shutdown(socket.SHUT_RDWR)

    watchdog = threading.Timer(max(0.0, deadline - time.monotonic()), cut)
    watchdog.daemon = True
    watchdog.start()
    try:
        yield
    finally:
        watchdog.cancel()
        watchdog.join()
        guard.close()


def _late(timeout_s: float) -> str:
    return f"the target had not answered after {timeout_s:.0f} s"
