"""JSON objects into frozen dataclasses. Fields that a class does not know are passed over, so that
a client goes on working with a server that is newer than it.
"""

import dataclasses
import functools
import types
import typing
from collections.abc import Hashable, Mapping
from datetime import datetime
from typing import Any, TypeVar, Union, cast, get_args, get_origin

T = TypeVar("T")


class UnexpectedAnswerError(ValueError):
    """An answer lacks what every version of the API has, so it is probably not this API's."""


@functools.cache
def _hints(cls: Any) -> dict[str, Any]:
    return typing.get_type_hints(cls)


def decode(cls: type[T], data: object) -> T:
    """``data`` as a ``cls``. A field called ``raw`` gets all of ``data``."""
    if not isinstance(data, Mapping):
        raise UnexpectedAnswerError(f"no {cls.__name__}: an object was expected")
    hints = _hints(cast("Hashable", cls))
    values: dict[str, Any] = {}
    for field in dataclasses.fields(cls):  # type: ignore[arg-type]
        if field.name == "raw":
            values["raw"] = data
        elif field.name in data:
            values[field.name] = _value(hints[field.name], data[field.name])
    try:
        return cls(**values)
    except TypeError as error:
        raise UnexpectedAnswerError(f"no {cls.__name__}: {error}") from error


def _value(hint: Any, value: Any) -> Any:
    origin = get_origin(hint)
    if origin in {Union, types.UnionType}:
        if value is None:
            return None
        hint = next(arm for arm in get_args(hint) if arm is not type(None))
        return _value(hint, value)
    if origin is tuple:
        return tuple(_value(get_args(hint)[0], item) for item in value or ())
    if hint is datetime:
        return datetime.fromisoformat(value)
    if hint is float and isinstance(value, int):
        return float(value)
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return decode(hint, value)
    return value
