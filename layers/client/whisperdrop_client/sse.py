"""Server-sent events as the HTML standard (9.2.6) says, from bytes in pieces of any size."""

import codecs
from dataclasses import dataclass


@dataclass(frozen=True)
class ServerEvent:
    """One event."""

    type: str
    data: str
    last_id: str


class EventParser:
    """Feed it bytes; it gives back the events that are complete."""

    def __init__(self) -> None:
        # Bytes that are no UTF-8 become U+FFFD, as the standard says, and a BOM goes.
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._begun = False
        self._buffer = ""
        self._after_cr = False
        self._type = ""
        self._data: list[str] = []
        self._id = ""
        self.last_id = ""
        """The id to go on from after a lost connection."""
        self.retry_s: float | None = None
        """The pause that the server asked for."""

    def feed(self, piece: bytes) -> list[ServerEvent]:
        """Events that end in ``piece``."""
        text = self._decoder.decode(piece)
        if not self._begun and text:
            self._begun = True
            text = text.removeprefix("\ufeff")
        return [event for line in self._lines(text) if (event := self._line(line))]

    def _lines(self, text: str) -> list[str]:
        """Complete lines; they end in LF, CR or CRLF, whose halves may come apart."""
        if self._after_cr and text:
            text = text.removeprefix("\n")
            self._after_cr = False
        self._buffer += text
        if "\n" not in text and "\r" not in text:
            return []
        self._after_cr = self._buffer.endswith("\r")
        *lines, self._buffer = self._buffer.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        return lines

    def _line(self, line: str) -> ServerEvent | None:
        if not line:
            return self._dispatch()
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "event":
            self._type = value
        elif name == "id" and "\0" not in value:
            self._id = value
        elif name == "retry" and value.isascii() and value.isdigit():
            self.retry_s = int(value) / 1000
        return None

    def _dispatch(self) -> ServerEvent | None:
        self.last_id = self._id
        event = None
        if self._data:
            event = ServerEvent(self._type or "message", "\n".join(self._data), self.last_id)
        self._type = ""
        self._data = []
        return event
