"""What a token of Whisper's vocabulary says, as bytes."""

import itertools

# GPT-2's byte-level vocabulary writes each byte as one printable character: itself where it is one,
# otherwise the next from U+0100 on.
_THEMSELVES = (*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100))
_OTHERS = [byte for byte in range(256) if byte not in _THEMSELVES]
_BYTES = {chr(byte): byte for byte in _THEMSELVES} | {
    chr(code): byte for code, byte in zip(itertools.count(0x100), _OTHERS, strict=False)
}


def token_bytes(entry: str) -> bytes:
    """The bytes that stand behind an ``entry`` of the vocabulary."""
    return bytes(_BYTES[character] for character in entry)
