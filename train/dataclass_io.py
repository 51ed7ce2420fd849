"""Strict reading of TOML and JSON tables into frozen dataclasses."""

import dataclasses
import difflib
import types
from collections.abc import Mapping
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from train.errors import RecipeError

T = TypeVar("T")
KIND_NAMES = {int: "a whole number", float: "a number", str: "a text in quotes", bool: "true or false"}


def read_table(kind: type[T], table: Mapping[str, Any], *, source: str) -> T:
    """Make a dataclass of a table; nested dataclasses are nested tables, tuples are lists, dicts have names as keys.

    A field whose type is a union of dataclasses is told apart by the field `protocol`, a Literal of one word in each.

    `source` names the table in messages, e.g. by its file.

    Raises:
        RecipeError: If a key is unknown or missing, or a value has another type.
    """
    fields = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    for key in table:
        if key not in fields:
            near = difflib.get_close_matches(key, fields, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise RecipeError(f"{source} has the unknown key {key!r}: {hint}known are {', '.join(fields)}")
    missing = [
        name
        for name, field in fields.items()
        if name not in table and field.default is field.default_factory is dataclasses.MISSING
    ]
    if missing:
        raise RecipeError(f"{source} lacks {', '.join(missing)}: add it")
    hints = get_type_hints(kind)
    return kind(**{key: _read_value(hints[key], value, source=source, key=key) for key, value in table.items()})


def _read_value(hint: Any, value: Any, *, source: str, key: str) -> Any:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        kinds = [kind for kind in arguments if dataclasses.is_dataclass(kind)]
        if len(kinds) > 1:
            by_protocol = {get_args(get_type_hints(kind)["protocol"])[0]: kind for kind in kinds}
            protocol = _check_table(value, source=source, key=key).get("protocol")
            hint = by_protocol[_read_word(tuple(by_protocol), protocol, source=f"{source} [{key}]", key="protocol")]
        else:
            hint = next(kind for kind in arguments if kind is not type(None))
        return _read_value(hint, value, source=source, key=key)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return read_table(hint, _check_table(value, source=source, key=key), source=f"{source} [{key}]")
    if origin is dict:
        items = _check_table(value, source=source, key=key).items()
        return {name: _read_value(arguments[1], item, source=source, key=f"{key}.{name}") for name, item in items}
    if origin is Literal:
        return _read_word(arguments, value, source=source, key=key)
    if origin is tuple:
        is_endless = len(arguments) == 2 and arguments[1] is Ellipsis
        if not isinstance(value, list | tuple) or not (is_endless or len(value) == len(arguments)):
            count = "" if is_endless else f"{len(arguments)} "
            raise RecipeError(f"{source}: {key} is {value!r}: make it a list of {count}values")
        hints = [arguments[0]] * len(value) if is_endless else arguments
        return tuple(_read_value(*pair, source=source, key=key) for pair in zip(hints, value, strict=True))
    if hint is float and type(value) is int:
        return float(value)
    if type(value) is not hint:
        raise RecipeError(f"{source}: {key} is {value!r}: make it {KIND_NAMES[hint]}")
    return value


def _read_word(words: tuple[Any, ...], value: Any, *, source: str, key: str) -> Any:
    if value not in words:
        near = difflib.get_close_matches(str(value), words, n=1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        raise RecipeError(f"{source}: {key} is {value!r}{hint}: known are {', '.join(words)}")
    return value


def _check_table(value: Any, *, source: str, key: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise RecipeError(f"{source}: {key} is {value!r}: make it a table, [{key}]")
    return value
