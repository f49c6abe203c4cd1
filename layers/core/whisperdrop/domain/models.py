"""Which models may be asked for, under which names."""

from dataclasses import dataclass, field

from whisperdrop.errors import ModelNotFoundError


def is_place(model: str) -> bool:
    """Whether ``model`` says where it lies, which is nobody's business but the operator's."""
    return model.startswith(("/", "./", "../", "s3://"))


@dataclass(frozen=True)
class ModelCatalog:
    """Names that a request may use. An alias stands for the model that the worker loads."""

    served: tuple[str, ...]
    aliases: dict[str, str] = field(default_factory=dict)

    @property
    def default(self) -> str:
        """The model of a request that names none."""
        return self.names[0]

    @property
    def names(self) -> tuple[str, ...]:
        """Everything that a request may say: served models in order, each with its aliases.

        A directory or an address in the bucket goes by its aliases alone.
        """
        found: list[str] = []
        for model in self.served:
            called = [alias for alias, meant in self.aliases.items() if meant == model]
            found += called if is_place(model) else [model, *called]
        return tuple(dict.fromkeys(found))

    def admit(self, name: str | None, allowed: tuple[str, ...] | None = None) -> str:
        """The name as it is stored with the job; ``allowed`` narrows it for one API key.

        Raises ModelNotFoundError for a name that is not served.
        """
        if name is None or name == "":
            return self.default if allowed is None else self._first(allowed)
        if name not in self.names or (allowed is not None and name not in allowed):
            offered = self.names if allowed is None else allowed
            raise ModelNotFoundError(
                f"the model {name[:60]!r} is not served here; choose one of: {', '.join(offered)}"
            )
        return name

    def _first(self, allowed: tuple[str, ...]) -> str:
        for name in self.names:
            if name in allowed:
                return name
        raise ModelNotFoundError("this API key may use none of the models that are served here")
