"""What every process reads from its environment. Each process adds its own fields to this model.

Names of variables are the names of the fields in capitals. docs/settings.md is made from the
docstrings here and in each function's settings.py by ``make docs``.
"""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from whisperdrop.domain.models import ModelCatalog, is_place
from whisperdrop.domain.webhook_target import TargetRules, parse_networks

Names = Annotated[tuple[str, ...], NoDecode]
"""A comma-separated list in the environment."""


class CoreSettings(BaseSettings):
    """Storage, queues, models on offer, logging."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    bucket: str
    """Bucket that holds everything: media, job documents, results, hashed keys."""

    interactive_queue_url: str
    """URL of the SQS queue of synchronous requests; workers empty it first."""

    bulk_queue_url: str
    """URL of the SQS queue that the bucket's notifications feed."""

    s3_addressing_style: Literal["auto", "path", "virtual"] = "auto"
    """How the bucket stands in URLs. `path` for most stores behind `AWS_ENDPOINT_URL_S3`."""

    whisper_models: Names = ("tiny.en",)
    """Models that are served, comma-separated; workers load them at start. The first one is the
    default. A name is a size (`large-v3-turbo`), a hub id, a directory (`/models/mine`) or
    `s3://bucket/prefix`; the last two need an alias."""

    allowed_models: Names = ()
    """Models that requests may ask for, comma-separated, beyond `WHISPER_MODELS`; workers load them
    on demand."""

    whisper_aliases: Annotated[dict[str, str], NoDecode] = Field(default_factory=dict)
    """Other names of models, as `alias=model` pairs, comma-separated. An alias keeps directories
    and bucket addresses out of requests."""

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """Least severe level that is logged; logs are JSON lines on standard output."""

    enable_tracing: bool = False
    """Send OpenTelemetry spans as OTLP over HTTP to `OTEL_EXPORTER_OTLP_ENDPOINT`
    (`http://localhost:4318` by default). The other `OTEL_*` variables of its SDK count too."""

    @field_validator("whisper_models", "allowed_models", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(name for part in value.split(",") if (name := part.strip()))
        return value

    @field_validator("whisper_aliases", mode="before")
    @classmethod
    def _pairs(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        pairs = [part.partition("=") for part in value.split(",") if part.strip()]
        if any(not (name.strip() and model.strip()) for name, _, model in pairs):
            raise ValueError("WHISPER_ALIASES takes 'alias=model' pairs, comma-separated")
        return {name.strip(): model.strip() for name, _, model in pairs}

    @model_validator(mode="after")
    def _serves_something(self) -> Self:
        if not self.whisper_models:
            raise ValueError("WHISPER_MODELS names no model")
        for model in (*self.whisper_models, *self.allowed_models):
            if is_place(model) and model not in self.whisper_aliases.values():
                raise ValueError(f"give {model!r} a name for requests in WHISPER_ALIASES")
        return self

    @property
    def catalog(self) -> ModelCatalog:
        """Which models a request may name."""
        served = dict.fromkeys(self.whisper_models + self.allowed_models)
        return ModelCatalog(tuple(served), dict(self.whisper_aliases))


class MetricsSettings(CoreSettings):
    """For processes that are no web servers of their own."""

    metrics_port: int | None = Field(None, ge=0, le=65535)
    """Port on which `/metrics` is served for Prometheus; 0 takes a free one, which the log names.
    Unset: none. The API serves its own beside its routes, see `METRICS_ENABLED`."""

    metrics_host: str = "127.0.0.1"
    """Address on which `/metrics` is served. It needs no key: open it to your monitoring alone."""

    metrics_emf: bool = False
    """Print metrics for CloudWatch (embedded metric format) on standard output every 30 s, as the
    functions do by themselves: for tasks whose log goes there."""


class PulseSettings(CoreSettings):
    """For processes that serve no HTTP, where one could ask whether they are alive."""

    pulse_file: Path | None = None
    """A file that is touched as long as the process gets on with its work; `python -m
    whisperdrop.pulse` in the same environment tells whether it does. The images set it. Default:
    none."""


class WebhookSettings(CoreSettings):
    """For processes that send to the URLs of tenants, or judge them."""

    notify_queue_url: str | None = None
    """URL of the SQS queue that wakes the notifier. Without it, nothing is queued for it again."""

    webhook_timeout_seconds: float = Field(10, ge=0.1, le=60)
    """How long one delivery may take, in seconds, from the look-up of the name to the answer."""

    webhook_ports: Annotated[tuple[int, ...], NoDecode] = (443, 8443)
    """Ports that a webhook's URL may name, comma-separated; `any` for all of them."""

    webhook_ca_file: Path | None = None
    """Certificates (PEM) that are trusted beside the system's, for targets inside your network."""

    webhook_allowed_networks: Names = ()
    """Networks that webhooks may reach although they are not on the public internet, as
    comma-separated CIDR (`10.1.0.0/16,fd00:1::/64`). Default: none, since whoever has a key could
    reach everything in them."""

    webhook_allow_http: bool = False
    """Take `http://` URLs too, for targets inside `WEBHOOK_ALLOWED_NETWORKS`: to try things out on
    one machine."""

    @field_validator("webhook_ports", mode="before")
    @classmethod
    def _ports(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        if value.strip() == "any":
            return ()
        return tuple(part.strip() for part in value.split(",") if part.strip())

    @field_validator("webhook_allowed_networks", mode="before")
    @classmethod
    def _networks(cls, value: Any) -> Any:
        return cls._split(value)

    @model_validator(mode="after")
    def _networks_are_networks(self) -> Self:
        parse_networks(self.webhook_allowed_networks)
        return self

    @property
    def webhook_rules(self) -> TargetRules:
        """Where webhooks may go."""
        return TargetRules(
            allowed_networks=parse_networks(self.webhook_allowed_networks),
            ports=self.webhook_ports,
            allow_http=self.webhook_allow_http,
        )


class KeySettings(CoreSettings):
    """For processes that check API keys."""

    api_key: SecretStr | None = None
    """A key with every right, for the tenant `default`; `python -m whisperdrop_api keys` adds more.
    """
