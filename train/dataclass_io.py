"""Reads tables of names and values, as TOML and JSON have them, into frozen dataclasses; strictly."""

import dataclasses
import difflib
import types
from collections.abc import Mapping
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from train.errors import RecipeError

T = TypeVar("T")


def read_table(kind: type[T], table: Mapping[str, Any], *, place: str) -> T:
    """Make a dataclass of a table; nested dataclasses are nested tables, tuples are lists, dicts have names as keys.

    A field whose type is a union of dataclasses is told apart by the field `protocol`, a Literal of one word in each.

    Args:
        kind: The dataclass.
        table: Values by the names of its fields; what has a default may be left out.
        place: Where the table is, for messages, e.g. the name of a file.

    Raises:
        RecipeError: If a key is unknown or missing, or a value has another type.
    """
    fields = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    for key in table:
        if key not in fields:
            raise RecipeError(f"{place} has the unknown key {key!r}{_suggestion(key, fields)}")
    missing = [name for name, field in fields.items() if name not in table and _is_required(field)]
    if missing:
        raise RecipeError(f"{place} lacks {', '.join(missing)}: add it")
    hints = get_type_hints(kind)
    return kind(**{key: _value(hints[key], value, place=place, key=key) for key, value in table.items()})


def _is_required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _suggestion(key: str, known: Mapping[str, Any]) -> str:
    near = difflib.get_close_matches(key, known, n=1)
    return (f": did you mean {near[0]!r}? " if near else ": ") + f"known are {', '.join(known)}"


def _value(hint: Any, value: Any, *, place: str, key: str) -> Any:
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return _one_of(get_args(hint), value, place=place, key=key)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return read_table(hint, _table(value, place=place, key=key), place=f"{place} [{key}]")
    if origin is Literal:
        return _word(get_args(hint), value, place=place, key=key)
    if origin is dict:
        inner = get_args(hint)[1]
        return {
            name: _value(inner, item, place=place, key=f"{key}.{name}")
            for name, item in _table(value, place=place, key=key).items()
        }
    if origin is tuple:
        return _tuple(get_args(hint), value, place=place, key=key)
    return _plain(hint, value, place=place, key=key)


def _table(value: Any, *, place: str, key: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise RecipeError(f"{place}: {key} is {value!r}: make it a table, [{key}]")
    return value


def _one_of(kinds: tuple[Any, ...], value: Any, *, place: str, key: str) -> Any:
    if value is None and type(None) in kinds:
        return None
    tables = [kind for kind in kinds if isinstance(kind, type) and dataclasses.is_dataclass(kind)]
    if len(tables) <= 1:
        return _value(next(kind for kind in kinds if kind is not type(None)), value, place=place, key=key)
    by_word = {get_args(get_type_hints(kind)["protocol"])[0]: kind for kind in tables}
    word = _table(value, place=place, key=key).get("protocol")
    chosen = by_word[_word(tuple(by_word), word, place=f"{place} [{key}]", key="protocol")]
    return read_table(chosen, value, place=f"{place} [{key}]")


def _word(words: tuple[Any, ...], value: Any, *, place: str, key: str) -> Any:
    if value not in words:
        near = difflib.get_close_matches(str(value), words, n=1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        raise RecipeError(f"{place}: {key} is {value!r}{hint}: known are {', '.join(words)}")
    return value


def _tuple(hints: tuple[Any, ...], value: Any, *, place: str, key: str) -> tuple[Any, ...]:
    endless = len(hints) == 2 and hints[1] is Ellipsis
    if not isinstance(value, list | tuple) or not (endless or len(value) == len(hints)):
        count = "" if endless else f"{len(hints)} "
        raise RecipeError(f"{place}: {key} is {value!r}: make it a list of {count}values")
    wanted = [hints[0]] * len(value) if endless else hints
    return tuple(_value(hint, item, place=place, key=key) for hint, item in zip(wanted, value, strict=True))


def _plain(hint: type, value: Any, *, place: str, key: str) -> Any:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if hint is float and is_number:
        return float(value)
    if type(value) is not hint:
        words = {int: "a whole number", float: "a number", str: "a text in quotes", bool: "true or false"}
        raise RecipeError(f"{place}: {key} is {value!r}: make it {words[hint]}")
    return value
