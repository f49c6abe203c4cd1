"""Takes out of installed packages what no process of this image ever reads.

``python -m whisperdrop_image.slim SITE_PACKAGES``
"""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from whisperdrop_image.elf import stripped

AWS_SERVICES = frozenset(
    {
        *("s3", "sqs", "ecs", "cloudformation", "secretsmanager", "cloudwatch"),
        # How credentials are had.
        *("sts", "sso", "sso-oidc", "signin"),
    }
)
"""What boto3 can speak to in an image: a description of each of 400 services is 28 MB."""

EVERYWHERE = ("tests", "__pycache__", "*.pyi", "*.pxd", "*.pyx", "*.c", "*.h", "*.hpp", "*.a")
"""Names that are for whoever develops or compiles against a package."""

UNUSED = (
    # The library for C programs; Python's module has all of it once more.
    "onnxruntime/capi/libonnxruntime.so*",
    # Programs to convert and to shrink models.
    *("onnxruntime/transformers", "onnxruntime/quantization", "onnxruntime/tools"),
    *("onnxruntime/datasets", "onnxruntime/backend", "ctranslate2/converters"),
    # Fortran, and the tests' own modules.
    *("numpy/f2py", "numpy/_core/_simd.*.so", "numpy/_core/_*_tests.*.so"),
    # Another web framework's page.
    "aws_lambda_powertools/event_handler/openapi/swagger_ui",
    "boto3/examples",
    # Which files a package once had: no longer true, and nobody uninstalls here.
    "*.dist-info/RECORD",
)


def slim(packages: Path) -> None:
    """Prune and strip everything under ``packages``."""
    for path in [*_unused(packages)]:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    for path in packages.rglob("*.so*"):
        if path.is_file() and not path.is_symlink():
            _strip(path)


def _unused(packages: Path) -> Iterator[Path]:
    for pattern in EVERYWHERE:
        yield from packages.rglob(pattern)
    for pattern in UNUSED:
        yield from packages.glob(pattern)
    for data in (packages / "botocore/data", packages / "boto3/data"):
        if data.is_dir():
            services = (path for path in data.iterdir() if path.is_dir())
            yield from (path for path in services if path.name not in AWS_SERVICES)


def _strip(path: Path) -> None:
    shorter = stripped(path.read_bytes())
    if shorter is not None:
        mode = path.stat().st_mode
        path.write_bytes(shorter)
        path.chmod(mode)


def _megabytes(folder: Path) -> int:
    files = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return round(sum(path.stat().st_size for path in files) / 1e6)


def main(arguments: list[str]) -> int:
    """Slim the folder that is named, and say what that saved."""
    [folder] = (Path(argument) for argument in arguments)
    before = _megabytes(folder)
    slim(folder)
    print(f"{folder}: {before} MB, now {_megabytes(folder)} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
