"""The embedded stack's environment. Whatever else is set goes on to API and worker as it is."""

from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class StackSettings(BaseSettings):
    """What `make run` and `make demo` read."""

    model_config = SettingsConfigDict(
        frozen=True, extra="ignore", use_attribute_docstrings=True, env_ignore_empty=True
    )

    port: int = Field(8000, ge=0, le=65535)
    """Port of the API on 127.0.0.1; 0 takes a free one."""

    emulator_port: int = Field(4566, ge=0, le=65535)
    """Port of the S3 and SQS emulator on 127.0.0.1; 0 takes a free one."""

    data_dir: Path = Path(".local")
    """Directory for everything that lasts: objects, models, logs."""

    api_key: SecretStr = SecretStr("change-me")
    """The API key. The default is public, which is why the stack listens on loopback only."""

    ministack: Path = Path(".venv-emulator/bin/ministack")
    """The emulator's executable; it lives in an environment of its own."""

    lease_seconds: int = Field(30, ge=3)
    """As the worker's; shorter than in production, since one machine dies and returns at once."""

    sweep_interval_seconds: float = Field(15, gt=0)
    """As the sweep's."""
