"""Reading pickles that strangers made, and writing ones that any numpy reads. Needs numpy alone, not torch.

A pickle is a program. This reader runs none of it: the few names that it admits are stand-ins of its own,
which note down what an array was made from; the arrays are then built here, from checked bytes. numpy's own
``__setstate__`` is never called, because a forged dtype could make it treat numbers as pointers.
"""

from __future__ import annotations

import math
import os
import pickle
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import numpy as np

from steve1.cli import UserError
from steve1.files import remove_partials, whole_file

_NUMERIC_KINDS = "biufcSU"
_PLAIN = {float, int, bool, str, bytes, type(None)}


def load_pickle(source: str | os.PathLike | IO[bytes]) -> Any:
    """Read a pickle of containers, scalars and numpy arrays; anything else in it is refused, unexecuted.

    ``source`` is a path or a binary file. Admitted: Python's containers and scalars, ``OrderedDict``, numpy
    arrays and scalars of numbers, booleans and strings (arrays of objects if their items are admitted).
    Files written under numpy 1.x and 2.x (``numpy.core``, ``numpy._core``) read alike under either.

    Raises :class:`~steve1.cli.UserError` naming the file, and the class where one is refused.
    """
    if isinstance(source, (str, os.PathLike)):
        with open(source, "rb") as file:
            return _load(file, str(source))
    return _load(source, str(getattr(source, "name", "the pickle")))


def dump_pickle(value: Any, path: str | os.PathLike) -> None:
    """Write ``value`` as a pickle, whole or not at all, that numpy 1.x and 2.x both read.

    Arrays are referred to as ``numpy.ndarray(shape, dtype, bytes)``, which both have; numpy's scalars
    become Python's. Raises TypeError for arrays that hold objects or fields.
    """
    path = Path(path)
    remove_partials(path)
    with whole_file(path) as partial, open(partial, "wb") as file:
        _Pickler(file, protocol=4).dump(value)


class _Pickler(pickle.Pickler):
    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, np.ndarray):
            if obj.dtype.kind not in _NUMERIC_KINDS:
                raise TypeError(f"an array of dtype {obj.dtype} is not written; make it numbers or a list")
            return np.ndarray, (obj.shape, obj.dtype.str, bytearray(obj.tobytes()))
        if isinstance(obj, np.generic):
            item = obj.item()
            if not isinstance(item, (bool, int, float, complex)):
                raise TypeError(f"a numpy scalar of dtype {obj.dtype} is not written; use Python's own")
            return type(item), (item,)
        return NotImplemented


class _Refused(Exception):
    """The pickle asks for something that is not admitted."""


class _DType:
    """Stands for a numpy dtype while the pickle is read."""

    __slots__ = ("dtype",)

    def __init__(self, spec: Any, *_: Any) -> None:
        if isinstance(spec, bytes):
            spec = spec.decode("ascii")
        if not isinstance(spec, str):
            raise _Refused("a numpy dtype that is not plain")
        try:
            self.dtype = np.dtype(spec)
        except TypeError:
            raise _Refused(f"the numpy dtype {spec[:40]!r}") from None
        if self.dtype.kind not in _NUMERIC_KINDS + "O" or self.dtype.subdtype is not None:
            raise _Refused(f"the numpy dtype {spec[:40]!r}")

    def __setstate__(self, state: Any) -> None:
        # (version, byte order, subarray, names, fields, item size, alignment, flags[, metadata])
        if not isinstance(state, tuple) or len(state) < 5 or any(part is not None for part in state[2:5]):
            raise _Refused("a numpy dtype with fields")
        order = state[1].decode("ascii") if isinstance(state[1], bytes) else state[1]
        if order not in ("<", ">", "|", "="):
            raise _Refused(f"the byte order {order!r}")
        # Strings of version 3 say their size in the spec already ("U5").
        self.dtype = self.dtype.newbyteorder(order)  # type: ignore[arg-type]


class _Array:
    """Stands for a numpy array whose contents come after it in the pickle."""

    __slots__ = ("dtype", "items", "order", "raw", "shape")

    def __init__(self) -> None:
        self.raw: bytes | None = None
        self.items: list | None = None
        self.shape: tuple = ()

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, tuple) or len(state) not in (4, 5):
            raise _Refused("a numpy array in an unknown form")
        self.shape, dtype, fortran, content = state[-4:]
        self.dtype = _plain_dtype(dtype)
        self.order = "F" if fortran else "C"
        if isinstance(content, list) and self.dtype.kind == "O":
            self.items = content
        elif isinstance(content, str):
            self.raw = content.encode("latin1")
        else:
            self.raw = content

    def build(self, convert: Callable[[Any], Any]) -> np.ndarray:
        if self.items is None:
            if self.raw is None:
                raise _Refused("a numpy array without contents")
            return _array(self.shape, self.dtype, self.raw, self.order)
        if math.prod(_checked_shape(self.shape)) != len(self.items):
            raise _Refused("a numpy array whose shape does not fit its contents")
        flat = np.empty(len(self.items), dtype=object)
        for index, item in enumerate(self.items):
            flat[index] = convert(item)
        return flat.reshape(self.shape, order=self.order)  # type: ignore[call-overload]


def _plain_dtype(dtype: Any) -> np.dtype:
    if isinstance(dtype, _DType):
        return dtype.dtype
    return _DType(dtype).dtype


def _checked_shape(shape: Any) -> tuple[int, ...]:
    if isinstance(shape, int):
        shape = (shape,)
    if not isinstance(shape, (tuple, list)) or not all(isinstance(n, int) and n >= 0 for n in shape):
        raise _Refused("a numpy array of impossible shape")
    return tuple(shape)


def _array(shape: Any, dtype: np.dtype, raw: Any, order: Any = "C") -> np.ndarray:
    shape = _checked_shape(shape)
    if dtype.kind == "O" or not isinstance(raw, (bytes, bytearray)):
        raise _Refused("a numpy array whose contents are not bytes")
    if order not in ("C", "F") or math.prod(shape) * dtype.itemsize != len(raw):
        raise _Refused("a numpy array whose shape does not fit its contents")
    return np.ndarray(shape, dtype, raw, order=order).copy(order=order)


class _Unpickler(pickle.Unpickler):
    """Admits the names below and no others. All are functions of this class or of this module."""

    def find_class(self, module: str, name: str) -> Any:
        module = {"__builtin__": "builtins"}.get(module, module)
        module = module.replace("numpy._core", "numpy.core", 1)
        admitted = _ADMITTED.get((module, name))
        if admitted is None:
            raise _Refused(f"{module}.{name}")
        return _Call(admitted)

    def persistent_load(self, pid: Any) -> Any:
        raise _Refused("a reference to something outside of the file")


class _Call:
    """An admitted function, wrapped so that the pickle's BUILD instruction can't set attributes on it."""

    __slots__ = ("_function",)

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, *args: Any) -> Any:
        return self._function(*args)

    def __setstate__(self, state: Any) -> None:
        raise _Refused("a change to a function")


def _reconstruct(*_: Any) -> _Array:
    return _Array()


def _from_buffer(buffer: Any, dtype: Any, shape: Any, order: Any, axis_order: Any = None) -> np.ndarray:
    if order == "K" and axis_order is not None:
        return _array(shape, _plain_dtype(dtype), buffer).transpose(axis_order)
    return _array(shape, _plain_dtype(dtype), buffer, order)


def _scalar(dtype: Any, raw: Any = None) -> Any:
    if isinstance(raw, str):
        raw = raw.encode("latin1")
    return _array((), _plain_dtype(dtype), raw)[()]


def _ndarray(shape: Any, dtype: Any = "float64", buffer: Any = None) -> np.ndarray:
    return _array(shape, _plain_dtype(dtype), buffer)


def _bytes(content: Any = b"", encoding: str = "latin1") -> bytes:
    if isinstance(content, str):
        return _encode(content, encoding)
    if not isinstance(content, (bytes, bytearray)):
        raise _Refused("bytes made from something else")
    return bytes(content)


def _encode(text: str, encoding: str = "latin1") -> bytes:
    if encoding.replace("-", "").replace("_", "").lower() not in ("latin1", "utf8", "ascii"):
        raise _Refused(f"the encoding {encoding!r}")
    return text.encode(encoding)


_ADMITTED: dict[tuple[str, str], Callable[..., Any]] = {
    ("builtins", "set"): set,
    ("builtins", "frozenset"): frozenset,
    ("builtins", "bytearray"): lambda *args: bytearray(_bytes(*args)),
    ("builtins", "bytes"): _bytes,
    ("builtins", "bool"): lambda value: bool(value),
    ("builtins", "int"): lambda value: int(value),
    ("builtins", "float"): lambda value: float(value),
    ("builtins", "complex"): lambda *args: complex(*args[:2]),
    ("collections", "OrderedDict"): lambda *args: OrderedDict(*args[:1]),
    ("_codecs", "encode"): _encode,
    ("numpy", "ndarray"): _ndarray,
    ("numpy", "dtype"): _DType,
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy.core.multiarray", "scalar"): _scalar,
    ("numpy.core.numeric", "_frombuffer"): _from_buffer,
}


def _load(file: IO[bytes], name: str) -> Any:
    try:
        return _built(_Unpickler(file).load(), {})
    except _Refused as refused:
        hint = (
            "; save tensors with torch.save, or as numpy arrays" if str(refused).startswith("torch") else ""
        )
        raise UserError(
            f"{name} was not loaded: it asks for {refused}, and only plain containers, numbers, strings and "
            f"numpy arrays are read from a pickle{hint}"
        ) from None
    except OSError:
        raise
    except Exception as error:  # a damaged pickle can end in nearly any exception
        raise UserError(
            f"{name} is not a readable pickle ({type(error).__name__}: {str(error)[:100]}); "
            "it is truncated or of another kind, so fetch or make it again"
        ) from None


def _built(value: Any, done: dict[int, Any]) -> Any:
    """``value`` with the stand-ins in it replaced; lists and dicts are changed in place, so cycles hold."""
    if id(value) in done:
        built = done[id(value)][1]
        if isinstance(built, _Array):
            raise _Refused("a numpy array that holds itself")
        return built
    # The value is kept beside its result so that its id stays taken.
    if isinstance(value, (_Array, list, dict)):
        done[id(value)] = (value, value)
    if isinstance(value, _Array):
        built = value.build(lambda item: _built(item, done))
    elif isinstance(value, _DType):
        built = value.dtype
    elif isinstance(value, _Call):
        raise _Refused("a function where a value belongs")
    elif isinstance(value, list):
        if not set(map(type, value)) <= _PLAIN:  # else nothing in it can be a stand-in, and lists may be long
            value[:] = [_built(item, done) for item in value]
        return value
    elif isinstance(value, dict):
        for key, item in value.items():
            if type(key) not in _PLAIN:
                _check_key(key)
            if type(item) not in _PLAIN:
                value[key] = _built(item, done)
        return value
    elif isinstance(value, tuple):
        built = tuple(_built(item, done) for item in value)
    else:
        if isinstance(value, (set, frozenset)):
            for item in value:
                _check_key(item)
        return value
    done[id(value)] = (value, built)
    return built


def _check_key(key: Any) -> None:
    if isinstance(key, (tuple, frozenset)):
        for item in key:
            _check_key(item)
    elif not isinstance(key, (str, bytes, int, float, complex, bool, np.generic, type(None))):
        raise _Refused("a key that is not plain")
