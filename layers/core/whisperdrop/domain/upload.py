"""How media may come into the bucket, and how a large file is cut.

Limits: S3 User Guide, "Multipart upload limits" and "Uploading objects".
"""

MULTIPART_THRESHOLD_BYTES = 100 * 1000**2
"""Above it, an upload goes in parts where its sender does not say how: S3 advises so from here on,
and whoever loses a connection has to send one part again."""

MAX_SINGLE_BYTES = 5 * 1024**3
"""What one PUT or one form POST can carry."""

MAX_UPLOAD_BYTES = 5 * 1024**4
"""What an upload in parts can carry: 5 TiB."""

MAX_UPLOAD_PARTS = 10_000

_MIB = 1024**2
_LEAST_PART_BYTES = 64 * _MIB


def part_size_of(size: int) -> int:
    """Bytes of each part but the last: 64 MiB, or as much more as 10,000 parts need."""
    needed = -(-size // MAX_UPLOAD_PARTS)
    return max(_LEAST_PART_BYTES, -(-needed // _MIB) * _MIB)


def part_count(size: int, part_size: int) -> int:
    """Parts in all."""
    return -(-size // part_size)


def size_of_part(number: int, size: int, part_size: int) -> int:
    """Bytes of the ``number``-th part, from 1; the last one has what is left."""
    return min(part_size, size - (number - 1) * part_size)
