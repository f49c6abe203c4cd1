"""Names of OpenAI's models, and what they stand for here."""

from whisperdrop.domain.models import ModelCatalog
from whisperdrop.errors import ModelNotFoundError
from whisperdrop.service.api_keys import ApiKey

OPENAI_IDS = (
    "whisper-1",
    "gpt-4o-transcribe",
    "gpt-4o-mini-transcribe",
    "gpt-transcribe",
)
"""Clients that name these get the default model, unless WHISPER_ALIASES says otherwise."""


def admit(catalog: ModelCatalog, name: str, key: ApiKey) -> str:
    """The served model behind ``name``, as it is stored with a job; the key's limits hold.

    Raises ModelNotFoundError.
    """
    if name not in catalog.names:
        if name in OPENAI_IDS or name.startswith(tuple(f"{one}-20" for one in OPENAI_IDS)):
            return catalog.admit(None, key.models)
        if name.endswith("-diarize"):
            # A transcript without the speakers that were asked for would be silently wrong.
            raise ModelNotFoundError(
                f"the model {name[:60]!r} is not served here, since this server does not tell "
                f"speakers apart; choose one of: {', '.join(names(catalog, key))}"
            )
    return catalog.admit(name, key.models)


def names(catalog: ModelCatalog, key: ApiKey) -> tuple[str, ...]:
    """The served models that ``key`` may use, the default first."""
    return tuple(name for name in catalog.names if key.models is None or name in key.models)
