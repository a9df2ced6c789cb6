"""Every road from a Variable to a plain number, walked: in a function given as ys it is a read.

What a road gives is folded into the output, so a Hessian at another point is right only if the
function is called again there (or if the road recorded what it gave). The tables name all that
Variable, Hessian and lazyhess have, and what NumPy answers plainly: a name that is in none of
them fails, so that what is added is walked on the day it is added.
"""

from __future__ import annotations

import array
import asyncio
import bisect
import builtins
import cmath
import contextlib
import copy
import ctypes
import datetime
import decimal
import fractions
import functools
import heapq
import inspect
import io
import json
import logging
import math
import operator
import pickle
import pprint
import random
import re
import reprlib
import statistics
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import lazyhess as lh
from lazyhess._primitives.constants import PLAIN_FUNCTIONS, PLAIN_UFUNCS
from lazyhess._record.variable import Variable
from tests.cases import CASES, Case

pytestmark = [
    pytest.mark.filterwarnings("ignore:the matrix subclass"),
    pytest.mark.filterwarnings("ignore:you are shuffling"),
]

X0 = np.array([0.3, -0.7, 1.2, 0.5])
X1 = np.array([0.9, 0.4, -0.2, -1.1])
W = np.array([0.5, -0.25, 2.0, 1.0])

SEEN = 0.3  # an element of the first point

Road = Callable[[Any], Any]


def within(z: Any) -> Any:
    """What is differentiated inside of the function."""
    return np.sum(z**4) * z[0]


def hessian(x: Any) -> Any:
    return lh.hessian(within, x)


def elsewhere(x: Any) -> Any:
    """A Hessian that was made for numbers, taken to a Variable."""
    return lh.hessian(within, W).at(x)


def printed(x: Any) -> str:
    stream = io.StringIO()
    print(x, file=stream)
    return stream.getvalue()


def saved(x: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, x)
    return stream.getvalue()


def threaded(road: Road) -> Road:
    """In another thread, which is waited for."""

    def walk(x: Any) -> Any:
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(road, x).result()

    return walk


def awaited(x: Any) -> Any:
    async def value() -> Any:
        await asyncio.sleep(0)
        return x.value

    return asyncio.run(value())


def written(write: Callable[[Any, Any], Any]) -> Road:
    """A plain array that something writes a Variable into."""

    def walk(x: Any) -> Any:
        array = np.zeros(4)
        write(array, x)
        return array

    return walk


def asserted(x: Any) -> bool:
    try:
        np.testing.assert_array_less(x, 0.45)
    except AssertionError:
        return False
    return True


def rebuilt(parts: Any) -> Any:
    """What copies and pickles make of the parts of an object."""
    make, arguments, *_ = parts
    return make(*pickle.loads(pickle.dumps(arguments)))


def matched(x: Any) -> int:
    match x[0]:
        case 0.3:
            return 1
        case _:
            return 2


def forwarded(name: str, *arguments: Any, **keywords: Any) -> Road:
    """A method, or a special method as the language calls it: of the class."""
    if name.startswith("__"):
        return lambda x: getattr(type(x), name)(x, *arguments, **keywords)
    return lambda x: getattr(x, name)(*arguments, **keywords)


def attribute(name: str) -> Road:
    return lambda x: getattr(x, name)


def of(road: Road, part: Road) -> Road:
    """A road from another thing than x."""
    return lambda x: road(part(x))


def first(x: Any) -> Any:
    return x[0]


def rest(x: Any) -> Any:
    """Positive at the first point, zero at the second."""
    return (np.maximum(x, 0.45) - 0.45)[2:]


def square(x: Any) -> Any:
    return np.reshape(x, (2, 2))


# --- what a Variable has --------------------------------------------------------------------------

OPERATORS = "add sub mul truediv floordiv mod pow divmod lt le gt ge eq ne".split()
REFLECTED = "add sub mul truediv floordiv mod pow divmod".split()

VARIABLE: dict[str, Road] = {
    **{f"__{name}__": forwarded(f"__{name}__", SEEN) for name in OPERATORS},
    **{f"__r{name}__": forwarded(f"__r{name}__", 2.5) for name in REFLECTED},
    **{name: forwarded(name) for name in "__neg__ __pos__ __abs__ __repr__ __str__ __len__".split()},
    **{name: forwarded(name) for name in "__array__ __copy__ __iter__ __reduce__ __dir__".split()},
    **{f"__{name}__": of(forwarded(f"__{name}__"), first) for name in "float int complex".split()},
    **{name: attribute(name) for name in "T real imag value shape dtype ndim size itemsize nbytes".split()},
    **{
        name: forwarded(name)
        for name in """argmax argmin argsort conj conjugate copy cumprod cumsum flatten max
        mean min prod ravel repeat round squeeze std sum tolist var""".split()
    },
    **{
        name: forwarded(name, 1)
        for name in "byteswap fill partition put resize setfield setflags sort".split()
    },
    **{name: of(forwarded(name), rest) for name in ("all", "any", "nonzero")},
    "__array_function__": lambda x: x.__array_function__(np.argmax, (Variable,), (x,), {}),
    "__array_ufunc__": lambda x: x.__array_ufunc__(np.signbit, "__call__", x),
    "__bool__": of(forwarded("__bool__"), of(first, rest)),
    "__contains__": forwarded("__contains__", SEEN),
    "__deepcopy__": forwarded("__deepcopy__", {}),
    "__format__": of(forwarded("__format__", ""), first),
    "__getitem__": forwarded("__getitem__", slice(1, 3)),
    "__matmul__": forwarded("__matmul__", W),
    "__rmatmul__": forwarded("__rmatmul__", W),
    "__reduce_ex__": forwarded("__reduce_ex__", 4),
    "__setitem__": forwarded("__setitem__", 0, 1.0),
    "__sizeof__": forwarded("__sizeof__"),
    "argpartition": forwarded("argpartition", 2),
    "astype": forwarded("astype", np.int64),
    "clip": forwarded("clip", -0.5, 0.8),
    "compress": forwarded("compress", [True, False, True, True]),
    "diagonal": of(forwarded("diagonal"), square),
    "dot": forwarded("dot", W),
    "item": of(forwarded("item"), first),
    "mT": of(attribute("mT"), square),
    "mapped": lambda x: x.mapped,
    "repeat": forwarded("repeat", 2),
    "reshape": forwarded("reshape", 2, 2),
    "searchsorted": lambda x: np.cumsum(x**2).searchsorted(0.9),
    "swapaxes": of(forwarded("swapaxes", 0, 1), square),
    "take": forwarded("take", [2, 0]),
    "trace": of(forwarded("trace"), square),
    "transpose": forwarded("transpose"),
}  # fmt: skip

# --- what a Hessian has ---------------------------------------------------------------------------

HESSIAN: dict[str, Road] = {
    **{f"__{name}__": forwarded(f"__{name}__", 0.6) for name in OPERATORS},
    **{f"__r{name}__": forwarded(f"__r{name}__", 2.5) for name in REFLECTED},
    **{
        name: forwarded(name)
        for name in """__neg__ __pos__ __abs__ __repr__ __str__ __len__ __array__ __iter__ __copy__
        __dir__ diagonal tocoo gradient cache_info cache_clear""".split()
    },
    **{name: attribute(name) for name in "T shape dtype ndim size itemsize nbytes value".split()},
    **{
        f"__i{name}__": forwarded(f"__i{name}__", 0.6)
        for name in "add sub mul truediv floordiv mod pow matmul".split()
    },
    **{
        f"__{name}__": lambda H, name=name: getattr(builtins, name)(
            lh.hessian(lambda z: z**3, H.value)
        )
        for name in "float int complex".split()
    },
    "__array_function__": lambda H: H.__array_function__(np.trace, (), (H,), {}),
    "__array_ufunc__": lambda H: H.__array_ufunc__(np.signbit, "__call__", H),
    "__bool__": lambda H: bool(lh.hessian(lambda z: z**3, np.maximum(H.value, 1.0) - 1.0)),
    "__contains__": lambda H: np.asarray(hessian(X0))[0, 0] in H,
    "__eq__": lambda H: np.asarray(hessian(X0))[0] == H,
    "__ne__": lambda H: np.asarray(hessian(X0))[0] != H,
    "__format__": forwarded("__format__", ""),
    "__getitem__": forwarded("__getitem__", (slice(2), 1)),
    "__matmul__": forwarded("__matmul__", W),
    "__rmatmul__": forwarded("__rmatmul__", W[None]),
    "__reduce__": lambda H: rebuilt(H.__reduce__())[...],
    "__reduce_ex__": lambda H: rebuilt(H.__reduce_ex__(4))[...],
    "__setitem__": forwarded("__setitem__", 0, 1.0),
    "__sizeof__": forwarded("__sizeof__"),
    "astype": forwarded("astype", np.int64),
    "at": forwarded("at", 2 * W),
}  # fmt: skip

# --- what lazyhess has ----------------------------------------------------------------------------

MODULE: dict[str, Road] = {
    "gradient": lambda x: lh.gradient(within, x),
    "hessian": lambda x: lh.hessian(within, x)[...],
    "variable": lambda x: lh.variable(x),
    "Variable": lambda x: lh.Variable(x),  # type: ignore[call-arg]
    "Hessian": lambda x: lh.Hessian(x),  # type: ignore[call-arg]
    "special.log_softmax": lambda x: lh.special.log_softmax(x),
    "special.logsumexp": lambda x: lh.special.logsumexp(x),
    "special.multigammaln": lambda x: lh.special.multigammaln(x + 4.0, 2),
    "special.polygamma": lambda x: lh.special.polygamma(1, x + 2.0),
    "special.softmax": lambda x: lh.special.softmax(x),
    "extend.value_of": lambda x: lh.extend.value_of(x),
    "extend.decide": lambda x: lh.extend.decide("high", lambda a: bool(np.sum(a) > 1), x),
    "extend.record": lambda x: lh.extend.record(
        lh.extend.elementwise(np.tanh, lambda z, x: 1 - z * z), x
    ),
    "testing.difference_gradient": lambda x: lh.testing.difference_gradient(within, (x,)),
    "testing.difference_hessian": lambda x: lh.testing.difference_hessian(within, (x,)),
}
# Names of `lazyhess.extend` and `lazyhess.testing` that take no Variable: they describe maps and
# rules, hold something to differences, or count.
WITHOUT = set(
    """extend extend.Chain extend.Curved extend.Differential extend.Gather extend.Map extend.Mask
    extend.Permute extend.Primitive extend.Reduce extend.Reshape extend.Scatter extend.broadcast
    extend.chain extend.contract extend.elementwise extend.implements extend.linear extend.scale
    options special testing testing.check_engine testing.check_hessian testing.check_rule testing.products""".split()
)

# --- what others do with a Variable ---------------------------------------------------------------

OTHERS: dict[str, Road] = {
    **{
        f"{function.__module__}.{function.__name__}": function
        for function in (
            bool, bytes, bytearray, dict, enumerate, frozenset, hash, iter, len, list, max, min,
            memoryview, repr, reversed, set, sorted, str, sum, tuple, ascii, np.array,
            np.asarray, np.asanyarray, np.ascontiguousarray, np.float64, np.bool_, np.ndenumerate,
            np.nditer, np.matrix, np.ma.array, np.vectorize(float), np.testing.assert_equal, copy.copy,
            copy.deepcopy, pickle.dumps, pprint.pformat, reprlib.repr, statistics.fmean, statistics.mean,
            math.fsum, math.hypot, json.dumps, operator.length_hint, vars, dir,
        )
    },
    **{
        f"{function.__module__}.{function.__name__} of an element": of(function, first)
        for function in (
            float, int, complex, abs, round, format, hash, str, repr, range, chr, bin, divmod,
            math.floor, math.ceil, math.trunc, math.sin, math.isnan, math.copysign, operator.index, fractions.Fraction, decimal.Decimal, np.float32, np.isscalar,
            np.format_float_positional, slice,
        )
    },
    **{
        f"{function.__module__}.{function.__name__} of the rest": of(function, rest)
        for function in (any, all)
    },
    **{
        f"{function.__module__}.{function.__name__} of one of the rest": of(function, of(first, rest))
        for function in (bool, operator.truth, operator.not_)
    },
    "f-string": lambda x: f"{x}",
    "f-string of an element": lambda x: f"{x[0]}",
    "f-string with a format": lambda x: f"{x[0]:.3f}",
    "f-string of a repr": lambda x: f"{x!r:>60}",
    "percent": lambda x: "%s" % x[0],  # noqa: UP031
    "percent f": lambda x: "%f" % x[0],  # noqa: UP031
    "str.format": lambda x: f"{x[0]} {x[1]!r}",
    "str.join": lambda x: ", ".join(map(str, x)),
    "print": printed,
    "np.save": saved,
    **{
        f"{name} in a thread": threaded(road)
        for name, road in {
            "value": lambda x: x.value,
            "comparison": lambda x: x > 0.4,
            "repr": repr,
            "element's str": lambda x: str(x[0]),
            "gradient": lambda x: lh.gradient(within, x),
            "hessian": lambda x: lh.hessian(within, x)[0],
            "pickle": pickle.dumps,
            "what is recorded": lambda x: np.exp(x),
        }.items()
    },
    "value, awaited": awaited,
    **{
        f"written by {name}": written(write)
        for name, write in {
            "np.copyto": lambda a, x: np.copyto(a, x),
            "np.put": lambda a, x: np.put(a, [0, 1], x[:2]),
            "np.place": lambda a, x: np.place(a, W > 0, x),
            "np.putmask": lambda a, x: np.putmask(a, W > 0, x),
            "np.fill_diagonal": lambda a, x: np.fill_diagonal(a.reshape(2, 2), x[0]),
            "np.add.at": lambda a, x: np.add.at(a, [0, 1, 1, 2], x),
            "fill": lambda a, x: a.fill(x[0]),
            "put": lambda a, x: a.put([0], x[:1]),
            "an ellipsis": lambda a, x: a.__setitem__(..., x),
            "flat": lambda a, x: a.flat.__setitem__(slice(None), x),
            "addition in place": operator.iadd,
            "a mask": lambda a, x: a.__setitem__(x > 0, 1.0),
            "rng.shuffle": lambda a, x: np.random.default_rng(0).shuffle(x),
        }.items()
    },
    "rng.normal": lambda x: np.random.default_rng(0).normal(x),
    "rng.permutation": lambda x: np.random.default_rng(0).permutation(x),
    "rng.choice": lambda x: np.random.default_rng(0).choice(x),
    "np.broadcast": lambda x: list(np.broadcast(x, W)),
    "np.polynomial": lambda x: np.polynomial.Polynomial(x)(0.5),
    "np.poly1d": lambda x: np.poly1d(x)(0.5),
    "array.array": lambda x: array.array("d", x),
    "struct.pack": lambda x: struct.pack("d", x[0]),
    "ctypes": lambda x: ctypes.c_double(x[0]).value,
    "heapq": lambda x: [int(z > 0.0) for z in heapq.nsmallest(2, x)],
    "bisect": lambda x: bisect.bisect([0.0, 0.4, 1.0], x[0]),
    "random.seed": lambda x: random.Random(x[0]).random(),
    "timedelta": lambda x: datetime.timedelta(seconds=x[0]).total_seconds(),
    "json by str": lambda x: json.dumps(x, default=str),
    "logged": lambda x: logging.LogRecord("", 0, "", 0, "%s", (x[0],), None).getMessage(),
    "repr of a list": lambda x: repr(list(x)),
    "reduced": lambda x: int(functools.reduce(max, x) > 1.0),
    "a part of a row": lambda x: [1.0, 2.0, 3.0][: 1 + int(x[0] > 0.5)],
    "math.isclose": lambda x: math.isclose(x[0], SEEN),
    "cmath": lambda x: cmath.exp(x[0]),
    "assertion": asserted,
    "match": matched,
    "in a list": lambda x: 0.3 in list(x),
    "index of a list": lambda x: [5.0, 0.3, 0.9].index(x[0]),
    "count of a list": lambda x: [5.0, 0.3].count(x[0]),
    "list ==": lambda x: [x[0]] == [0.3],
    "as an index": lambda x: [1, 2][x[0]],
    "as an index of an array": lambda x: W[x],
    "as a mask": lambda x: W[x > 0],
    "as a factor of a list": lambda x: [1] * x[0],
    "as the first of a ufunc with out": lambda x: np.add(x, 1.0, out=np.zeros(4)),
    "into an array": lambda x: np.zeros(4).__setitem__(0, x[0]),
    "into an array, whole": lambda x: np.zeros(4).__setitem__(slice(None), x),
    "np.array of elements": lambda x: np.array([x[0], x[1]]),
    "np.array of elements, as floats": lambda x: np.array([x[0], x[1]], float),
    "np.array of elements, as objects": lambda x: np.array([x[0], x[1]], object).astype(float),
    "np.fromiter": lambda x: np.fromiter(x, float),
    "min by key": lambda x: min(range(4), key=lambda k: x[k]),
    "sorted by key": lambda x: sorted(range(4), key=lambda k: x[k]),
    "if": lambda x: 1.0 if x[0] > 0.5 else 2.0,
    "and": lambda x: x[0] > 0.5 and 3.0,
    "while": lambda x: next(k for k in range(100) if k * 0.1 > x[0]),
    "pickled and back": lambda x: pickle.loads(pickle.dumps(x)),
    "pickled and back, in a list": lambda x: pickle.loads(pickle.dumps([x, x[0]]))[1],
    "copied in a list": lambda x: copy.deepcopy([x, x[0] * 2])[1],
    "value of a part": lambda x: (x[1:] * 2).value,
    "a view of the value": lambda x: x.value[1:].copy(),
    "the values of all elements": lambda x: [z.value for z in x],
    "another method's value": lambda x: x.sum().item(),
    "a Variable of a value": lambda x: lh.variable(x.value),
    "a Variable of a Variable": lambda x: lh.variable(x) * 2.0,
    "gradient of a part": lambda x: lh.gradient(within, x * 2.0),
    "gradient, recorded before": lambda x: lh.gradient(np.sum(x**3), x),
    "gradient of several": lambda x: lh.gradient(lambda a, b: within(a * b), (x, x[::-1])),
    "hessian, recorded before": lambda x: lh.hessian(np.sum(x**3), x)[1],
    "hessian of constants times x": lambda x: lh.hessian(within, W) @ x,
    "x times hessian of constants": lambda x: x @ lh.hessian(within, W)[...],
    "hessian through a closure": lambda x: lh.hessian(lambda z: np.sum(z**3 * x), W)[0],
    "gradient through a closure": lambda x: lh.gradient(lambda z: np.sum(z**3 * x), W),
    "value of a hessian through a closure": lambda x: lh.hessian(lambda z: z @ x, W).value,
    "hessian with aux": lambda x: lh.hessian(lambda z: (within(z), z), x, has_aux=True)[1],
    "hessian as a list": lambda x: [np.sum(row) for row in hessian(x)],
    "hessian by numpy": lambda x: np.linalg.eigvalsh(hessian(x)),
    "solve with a hessian": lambda x: np.linalg.solve(hessian(x) + 30 * np.eye(4), W),
    "hessian pickled and back": lambda x: pickle.loads(pickle.dumps(hessian(x)))[0],
    "hessian of samples": lambda x: lh.hessian(lambda z: z**3 * x, W, 0)[...],
    "hessian of each": lambda x: lh.hessian(lambda z: z**3, x, reduction="none")[1],
    "at a Variable": lambda x: elsewhere(x)[...],
    "at a Variable, value": lambda x: elsewhere(x).value,
    "at a Variable, gradient": lambda x: elsewhere(x).gradient(),
    "at a Variable, tocoo": lambda x: elsewhere(x).tocoo(),
    "hessian at elements": lambda x: lh.hessian(within, W).at([x[0], 1.0, x[2], x[3]]).value,
}  # fmt: skip

# --- what NumPy answers plainly -------------------------------------------------------------------

NUMPY: dict[Any, Road] = {
    **{
        ufunc: (lambda x, ufunc=ufunc: ufunc(x, SEEN) if ufunc.nin == 2 else ufunc(x))
        for ufunc in PLAIN_UFUNCS
    },
    **{
        function: (lambda x, function=function: function(x, X0))
        for function in (
            np.allclose, np.isclose, np.array_equal, np.array_equiv, np.isin, np.shares_memory,
            np.may_share_memory,
        )
    },
    **{
        function: (lambda x, function=function: function(2, like=x))
        for function in (np.zeros, np.ones, np.eye, np.identity, np.tri, np.arange)
    },
    **{
        function: (lambda x, function=function: function(square(x)))
        for function in (
            np.tril_indices_from, np.triu_indices_from, np.diag_indices_from,
        )
    },
    **{
        function: of(function, rest)
        for function in (
            np.all, np.any, np.argwhere, np.flatnonzero, np.nonzero, np.count_nonzero, np.logical_not,
        )
    },
    np.empty: lambda x: np.empty(2, like=x).shape,  # of any content
    np.empty_like: lambda x: np.empty_like(x).shape,
    np.min_scalar_type: lambda x: np.min_scalar_type(np.exp(20 * x[0])).itemsize,
    np.isreal: lambda x: np.isreal(x + 1j * np.maximum(x, 0.0)),
    np.iscomplex: lambda x: np.iscomplex(x + 1j * np.maximum(x, 0.0)),
    np.isneginf: lambda x: np.isneginf(np.log(np.maximum(x, 0.0))),
    np.isposinf: lambda x: np.isposinf(-np.log(np.maximum(x, 0.0))),
    np.isfinite: lambda x: np.isfinite(np.log(np.maximum(x, 0.0))),
    np.isinf: lambda x: np.isinf(np.log(np.maximum(x, 0.0))),
    np.isnan: lambda x: np.isnan(np.sqrt(x)),
    np.can_cast: lambda x: np.can_cast(x[0], np.float32),
    np.einsum_path: lambda x: np.einsum_path("i,i->", x, x)[0],
    np.linalg.matrix_rank: lambda x: np.linalg.matrix_rank(square(np.maximum(x, 0.0))),
    np.argpartition: lambda x: np.argpartition(x, 2),
    np.searchsorted: lambda x: np.searchsorted(np.cumsum(x**2), 0.9),
    np.digitize: lambda x: np.digitize(x, [-1.0, 0.0, 1.0]),
    np.lexsort: lambda x: np.lexsort((x, x[::-1])),
    np.nanargmax: lambda x: np.nanargmax(x),
    np.nanargmin: lambda x: np.nanargmin(x**2),
    np.array2string: lambda x: np.array2string(x, precision=3),
}  # fmt: skip
NUMPY |= {
    function: (lambda x, function=function: function(np.maximum(x, 0.0), x > 1.0))
    for function in (np.logical_and, np.logical_or, np.logical_xor)
}
NUMPY |= {function: function for function in PLAIN_FUNCTIONS if function not in NUMPY}

ROADS: dict[str, Road] = {
    **{f"Variable.{name}": road for name, road in VARIABLE.items()},
    **{f"Hessian.{name}": of(road, hessian) for name, road in HESSIAN.items()},
    **{f"lazyhess.{name}": road for name, road in MODULE.items()},
    **{f"numpy.{function.__name__}": road for function, road in NUMPY.items()},
    **OTHERS,
}

# Roads that give something plain which says nothing of values: no reads, by whomever they are gone.
SHAPES = set(
    """
    Variable.shape Variable.dtype Variable.ndim Variable.size Variable.itemsize Variable.nbytes
    Variable.__len__ Variable.__dir__ Variable.__sizeof__ Variable.mapped builtins.len builtins.dir
    _operator.length_hint numpy.shape numpy.ndim numpy.size numpy.result_type numpy.iscomplexobj
    numpy.isrealobj numpy.common_type numpy.shares_memory numpy.may_share_memory numpy.einsum_path
    numpy.tril_indices_from numpy.triu_indices_from numpy.diag_indices_from numpy.zeros_like
    numpy.ones_like numpy.empty_like numpy.zeros numpy.ones numpy.empty numpy.eye numpy.identity
    numpy.tri numpy.arange
    """.split()
)
# Those that may be reads nevertheless: they go by a Hessian, or give Variables beside numbers.
UNTOLD = SHAPES | set(
    """
    Hessian.shape Hessian.dtype Hessian.ndim Hessian.size Hessian.itemsize Hessian.nbytes
    Hessian.__len__ Hessian.__dir__ Hessian.__sizeof__ Hessian.cache_info Hessian.cache_clear
    Hessian.__repr__ Hessian.__str__ Hessian.__format__ Hessian.at Variable.__reduce__
    Variable.__reduce_ex__ builtins.enumerate numpy.can_cast
    """.split()
)
UNTOLD.add("numpy.isscalar of an element")
# What is looked at by somebody who watches: in a graph recorded by hand no read.
LOOKS = set(
    """
    Variable.__repr__ Variable.__str__ Variable.__format__ builtins.repr builtins.str builtins.ascii
    pprint.pformat reprlib.repr print f-string str.format str.join percent
    """.split()
)
LOOKS |= {f"builtins.{name} of an element" for name in ("repr", "str", "format")}
LOOKS |= {
    "repr of a list",
    "json by str",
    "logged",
    "repr in a thread",
    "element's str in a thread",
}
LOOKS |= {"f-string of an element", "f-string of a repr", "f-string with a format"}


# --- the walk -------------------------------------------------------------------------------------


class Fold:
    """What a road gave, as a plain number and as a recorded one."""

    def __init__(self) -> None:
        self.plain = 0.0
        self.recorded: Any = 0.0
        self.count = 0  # of plain parts
        self.refused: str | None = None

    def number(self, value: Any) -> None:
        self.count += 1
        weight = math.cos(self.count)
        self.plain += weight * (float(value) if math.isfinite(value) else 77.7)

    def add(self, got: Any) -> None:
        """Fold something in; of a Variable no value is asked for."""
        if isinstance(got, Variable):
            real = np.real(got) if got.dtype.kind == "c" else got
            self.recorded = self.recorded + np.sum(np.sin(real))
        elif isinstance(got, (str, bytes, bytearray, memoryview)):
            data = got.encode() if isinstance(got, str) else bytes(got)
            self.number(zlib.crc32(data) / 2**32)
        elif isinstance(got, (complex, np.complexfloating)):
            self.number(got.real)
            self.number(got.imag)
        elif isinstance(got, (bool, int, float, np.generic, fractions.Fraction, decimal.Decimal)):
            self.number(got)
        elif isinstance(got, np.ndarray):
            for part in got.reshape(-1).tolist():
                self.add(part)
        elif isinstance(got, lh.Hessian):
            self.add(got[...])
        elif isinstance(got, Mapping):
            self.add([*got.keys(), *got.values()])
        elif isinstance(got, (list, tuple, set, frozenset, Iterator)):
            for part in got:
                self.add(part)
        elif isinstance(got, slice):
            self.add([got.start, got.stop, got.step])
        elif hasattr(got, "nodes"):  # what a Variable is pickled as
            self.add(got.nodes)
        elif not (got is None or isinstance(got, (type, np.dtype)) or callable(got)):
            self.add(pickle.dumps(got))


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    with np.errstate(all="ignore"):
        yield


REFUSALS = (
    struct.error,
    TypeError,
    ValueError,
    NotImplementedError,
    AttributeError,
    IndexError,
    AssertionError,
)


def walked(road: Road, x: Any) -> Fold:
    fold = Fold()
    try:
        with quiet():
            fold.add(road(x))
    except REFUSALS as error:  # then nothing plain came out of it, unless it says so
        fold = Fold()
        fold.refused = type(error).__name__
        fold.add(re.sub("0x[0-9a-f]+", "", str(error)))
    return fold


# Where on the way from x to the output somebody goes the road.
PLACES: dict[str, Callable[[Road, Any], Any]] = {
    "of x": lambda road, x: _with(walked(road, x), np.sum(x**3)),
    "between": lambda road, x: _with(walked(road, x * 1.0), np.sum(np.sin(x))),
    "last": lambda road, x: _last(np.sum(x**3), road, x),
}


def _with(fold: Fold, y: Any) -> Any:
    return y * (2.0 + fold.plain) + fold.recorded


def _last(y: Any, road: Road, x: Any) -> Any:
    fold = walked(road, x)
    return y * (2.0 + fold.plain) + fold.recorded


def alike(got: Any, want: Any) -> None:
    assert got.value == pytest.approx(want.value, rel=1e-10, nan_ok=True)
    np.testing.assert_allclose(got.gradient(), want.gradient(), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(np.asarray(got), np.asarray(want), rtol=1e-9, atol=1e-9)


@pytest.fixture(autouse=True)
def installed(request: pytest.FixtureRequest) -> None:
    """Roads of scipy's functions are walked where it is there."""
    name = getattr(request.node, "callspec", None) and request.node.callspec.params.get("name")
    if name in ("lazyhess.special.multigammaln", "lazyhess.special.polygamma"):
        pytest.importorskip("scipy")


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", ROADS)
def test_a_hessian_at_another_point_is_not_stale(name: str, place: str) -> None:
    def f(x: Any) -> Any:
        return PLACES[place](ROADS[name], x)

    with quiet():
        H = lh.hessian(f, X0)
        for x in (X1, X0, -X1):
            H = H.at(x)
            alike(H, lh.hessian(f, x))


@pytest.mark.parametrize("name", ROADS)
def test_the_walk_sees_what_a_road_gives(name: str) -> None:
    """Else it could not fail: what is plain differs between the points, where it is of values."""
    one, other, again = (walked(ROADS[name], lh.variable(x)) for x in (X0, X1, X0))
    assert one.plain == again.plain
    if name in UNTOLD:
        assert one.refused is None
        assert one.plain == other.plain
    else:
        assert one.plain != other.plain or one.refused or not (one.count or other.count)
        assert one.count or isinstance(one.recorded, Variable)


@pytest.mark.parametrize("name", sorted(SHAPES | LOOKS))
def test_what_says_nothing_of_values_or_is_a_look_is_no_read_by_hand(name: str) -> None:
    x = lh.variable(X0)
    walked(ROADS[name], x)
    y = np.sum(x**3)
    walked(ROADS[name], x)
    alike(lh.hessian(y, x).at(X1), lh.hessian(lambda x: np.sum(x**3), X1))


@pytest.mark.parametrize("name", sorted(set(ROADS) - SHAPES - LOOKS))
def test_a_graph_recorded_by_hand_refuses_or_is_right(name: str) -> None:
    def f(x: Any) -> Any:
        return PLACES["of x"](ROADS[name], x)

    with quiet():
        x = lh.variable(X0)
        H = lh.hessian(f(x), x)
        try:
            got = H.at(X1)
        except ValueError as error:
            assert "asked for a value" in str(error)
            return
        alike(got, lh.hessian(f, X1))


ONE_OF_EACH = list({case.key: case for case in reversed(CASES)}.values())


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", ONE_OF_EACH, ids=[case.name for case in ONE_OF_EACH])
def test_what_a_rule_gives_beside_variables(case: Case) -> None:
    def f(*xs: Any) -> Any:
        fold = walked(lambda xs: case.function(*xs), xs)
        return _with(fold, sum(np.sum(x**3) for x in xs))

    new = tuple(np.array(x[(slice(None, None, -1),) * x.ndim]) for x in case.inputs)
    with quiet():
        H = lh.hessian(f, case.inputs)[0][0].at(*new)
        for row, others in zip(H, lh.hessian(f, new), strict=True):
            for got, want in zip(row, others, strict=True):
                np.testing.assert_allclose(np.asarray(got), np.asarray(want), rtol=1e-6, atol=1e-6)


# --- no name is left out --------------------------------------------------------------------------

# What every object has, which asks for nothing of it, or gives what is private.
MACHINERY = set(
    """__abstractmethods__ __annotations__ __class__ __class_getitem__ __delattr__ __dict__ __doc__
    __getattribute__ __getstate__ __hash__ __init__ __init_subclass__ __module__ __new__ __orig_bases__
    __parameters__ __setattr__ __slots__ __subclasshook__ __weakref__ __firstlineno__
    __static_attributes__""".split()
)


def names(kind: type) -> set[str]:
    special = {name for name in dir(kind) if name.startswith("__")} - MACHINERY
    return special | {name for name in dir(kind) if not name.startswith("_")}


def exported(module: Any, prefix: str = "") -> Iterator[str]:
    for name in module.__all__:
        yield prefix + name
        item = getattr(module, name)
        if inspect.ismodule(item):
            yield from exported(item, f"{prefix}{name}.")


@pytest.mark.parametrize(
    ("what", "there", "walked"),
    [
        ("Variable", names(lh.Variable), set(VARIABLE)),
        ("Hessian", names(lh.Hessian), set(HESSIAN)),
        ("lazyhess", set(exported(lh)), set(MODULE) | WITHOUT),
        ("numpy", {*PLAIN_FUNCTIONS, *PLAIN_UFUNCS}, set(NUMPY)),
    ],
)
def test_every_name_is_walked(what: str, there: set[Any], walked: set[Any]) -> None:
    assert there - walked == set(), f"names of {what} without a road in this module"
    assert walked - there - WITHOUT == set(), f"roads of {what} that are not there"


def test_the_walk_finds_a_planted_road(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Variable, "leak", lambda self: float(self._value[0]), raising=False)
    with pytest.raises(AssertionError, match="without a road"):
        test_every_name_is_walked("Variable", names(Variable), set(VARIABLE))
    monkeypatch.setitem(ROADS, "leak", lambda x: x.leak())
    with pytest.raises(AssertionError):
        test_a_hessian_at_another_point_is_not_stale("leak", "of x")
