"""jax: what tells two traced functions apart, so that one program serves both."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from functools import reduce
from math import prod
from operator import or_
from typing import Any

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal
from jax.interpreters.partial_eval import dce_jaxpr

# Primitives that are no holomorphic functions of complex numbers, beside those with real results.
_CONJUGATES = {"conj", "sign", "max", "min"}
# Parameters that hold rules of derivatives: functions, made anew whenever they are traced.
_RULES = {"jvp_jaxpr_fun", "fwd_jaxpr_thunk", "bwd", "out_trees", "transpose_jaxpr_thunk"}

# Primitives that call a function as it is.
_CALLS = {"jit", "pjit"}
# Primitives without a derivative in reverse.
_LACKING = {"while", "ffi_call"}
# Where the functions of jax itself stand.
_OWN = "/jax/_src/"


class Same:
    """An object that equals itself only; what it stands for lives as long as the key does."""

    __slots__ = ("what",)

    def __init__(self, what: Any) -> None:
        self.what = what

    def __hash__(self) -> int:
        return id(self.what)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and self.what is other.what


class OpaqueError(Exception):
    """A traced function names rules of derivatives that cannot be compared."""


def key(closed: Any, rules: bool) -> Hashable:
    """A key that two traced functions share only if they compute the same of the same constants.

    Constants of the function itself are arguments of its programs, and are not in the key.

    Parameters
    ----------
    closed : ClosedJaxpr
        The traced function.
    rules : bool
        Whether its derivatives count. Rules that users wrote for their functions are functions of
        Python, made anew whenever they are traced.

    Raises
    ------
    OpaqueError
        With `rules`, where there is such a rule.
    """
    return _jaxpr(closed.jaxpr, rules)


def _jaxpr(jaxpr: Any, rules: bool) -> Hashable:
    numbers: dict[Any, int] = {}

    def name(var: Any) -> Hashable:
        if isinstance(var, Literal):
            value = var.val
            shown = np.asarray(value)
            return type(value), shown.dtype, shown.shape, shown.tobytes(), str(var.aval)
        if var not in numbers:
            numbers[var] = len(numbers)
        return numbers[var]

    def typed(var: Any) -> Hashable:
        return name(var), var.aval

    ins = tuple(map(typed, (*jaxpr.constvars, *jaxpr.invars)))
    body = tuple(
        (
            eqn.primitive,
            tuple(map(name, eqn.invars)),
            tuple(map(typed, eqn.outvars)),
            tuple(_named(k, value, rules) for k, value in sorted(eqn.params.items())),
        )
        for eqn in jaxpr.eqns
    )
    return len(jaxpr.constvars), ins, body, tuple(map(name, jaxpr.outvars))


def _named(name: str, value: Any, rules: bool) -> Hashable:
    if name not in _RULES:
        return name, _param(value, rules)
    if rules:
        raise OpaqueError(name)
    return name


def _param(value: Any, rules: bool) -> Hashable:
    if isinstance(value, ClosedJaxpr):
        return _jaxpr(value.jaxpr, rules), tuple(map(Same, value.consts))
    if isinstance(value, Jaxpr):
        return _jaxpr(value, rules)
    if isinstance(value, (tuple, list)):
        return type(value), tuple(_param(item, rules) for item in value)
    if isinstance(value, dict):
        return tuple((k, _param(item, rules)) for k, item in sorted(value.items(), key=str))
    if value is None or isinstance(value, (bool, int, float, complex, str, bytes)):
        return type(value), repr(value)
    if isinstance(value, (np.ndarray, np.generic)):
        return value.dtype, value.shape, value.tobytes()
    try:
        hash(value)
    except TypeError:
        return Same(value)
    return type(value), value


def _inner(eqn: Any) -> Iterator[Any]:
    for value in eqn.params.values():
        for item in value if isinstance(value, (tuple, list)) else (value,):
            if isinstance(item, ClosedJaxpr):
                yield item.jaxpr
            elif isinstance(item, Jaxpr):
                yield item


def rules(closed: Any) -> list[str]:
    """The functions of a traced one that have derivatives written by hand, but for jax's own."""
    names: dict[str, None] = {}
    stack = [closed.jaxpr]
    while stack:
        for eqn in stack.pop().eqns:
            inner = list(_inner(eqn))
            stack += inner
            if _RULES & eqn.params.keys():
                where = str(inner[0].debug_info.func_src_info) if inner else eqn.primitive.name
                if _OWN not in where:
                    kind = eqn.primitive.name.removesuffix("_call").removesuffix("_jaxpr")
                    names[f"{where.partition(' at ')[0]} (jax.{kind})"] = None
    return list(names)


def lacking(closed: Any) -> list[str]:
    """The primitives in a traced function that have no derivatives, or not in reverse."""
    names: dict[str, None] = {}
    stack = [closed.jaxpr]
    while stack:
        for eqn in stack.pop().eqns:
            stack += _inner(eqn)
            if eqn.primitive.name in _LACKING or "callback" in eqn.primitive.name:
                names[eqn.primitive.name] = None
    return list(names)


def reached(closed: Any, output: int) -> list[bool]:
    """Which inputs of a traced function one of its outputs depends on."""
    wanted = [k == output for k in range(len(closed.jaxpr.outvars))]
    used: list[bool] = list(dce_jaxpr(_detached(closed.jaxpr), wanted, instantiate=False)[1])
    return used


def reach(jaxpr: Any) -> dict[int, int]:
    """How many elements of the values of a function depend on which inputs, the bits of a number.

    Of the first output only; of constants nothing is told.
    """
    wanted = [k == 0 for k in range(len(jaxpr.outvars))]
    jaxpr = dce_jaxpr(jaxpr, wanted, instantiate=True)[0]
    values: dict[int, int] = {}
    _reach(jaxpr, [1 << k for k in range(len(jaxpr.invars))], 1, values)
    return values


def _reach(jaxpr: Any, inputs: list[int], times: int, values: dict[int, int]) -> list[int]:
    """Which inputs each output depends on; the elements of all values are added up."""
    bits: dict[Any, int] = dict(zip(jaxpr.invars, inputs, strict=True))

    def of(var: Any) -> int:
        return 0 if isinstance(var, Literal) else bits.get(var, 0)

    for eqn in jaxpr.eqns:
        mine = list(map(of, eqn.invars))
        every = reduce(or_, mine, 0)
        if not every:
            continue
        out = [every] * len(eqn.outvars)
        inner = list(_inner(eqn))
        # What is called with these very operands, once; else all depends on all of them.
        alike = [part for part in inner if len(part.invars) == len(mine)]
        turns = times * int(eqn.params.get("length", 1))
        once = len(inner) == 1 and inner == alike and "length" not in eqn.params
        for part in inner:
            given = mine if once else [every] * len(part.invars)
            told = _reach(part, given, turns, values)
            if once and len(told) == len(out):
                out = told
        for var, reached in zip(eqn.outvars, out, strict=True):
            bits[var] = reached
            if reached and not inner:
                values[reached] = values.get(reached, 0) + times * prod(var.aval.shape)
    return list(map(of, jaxpr.outvars))


def _detached(jaxpr: Any) -> Any:
    """A traced function whose ends of differentiation come out of nowhere."""
    eqns = []
    for eqn in jaxpr.eqns:
        if eqn.primitive.name == "stop_gradient":
            continue
        body = eqn.params.get("jaxpr")
        if eqn.primitive.name in _CALLS and isinstance(body, ClosedJaxpr):
            params = {**eqn.params, "jaxpr": ClosedJaxpr(_detached(body.jaxpr), body.consts)}
            eqn = eqn.replace(params=params)
        eqns.append(eqn)
    return jaxpr.replace(eqns=eqns)


def not_holomorphic(closed: Any) -> str | None:
    """The name of a primitive of the inputs that is no holomorphic function of them, if any."""
    return _not_holomorphic(closed.jaxpr, [True] * len(closed.jaxpr.invars))


def _not_holomorphic(jaxpr: Any, from_inputs: list[bool]) -> str | None:
    known = {var for var, is_from in zip(jaxpr.invars, from_inputs, strict=True) if is_from}
    for eqn in jaxpr.eqns:
        mine = [not isinstance(var, Literal) and var in known for var in eqn.invars]
        if not any(mine):
            continue
        inner = list(_inner(eqn))
        for part in inner:
            same = len(part.invars) == len(mine)
            culprit = _not_holomorphic(part, mine if same else [True] * len(part.invars))
            if culprit is not None:
                return culprit
        if inner:
            known.update(eqn.outvars)
            continue
        complexes = any(
            is_mine and np.issubdtype(var.aval.dtype, np.complexfloating)
            for var, is_mine in zip(eqn.invars, mine, strict=True)
        )
        floating = [jax.numpy.issubdtype(var.aval.dtype, np.inexact) for var in eqn.outvars]
        real = not all(
            np.issubdtype(var.aval.dtype, np.complexfloating)
            for var, floats in zip(eqn.outvars, floating, strict=True)
            if floats
        )
        if complexes and (eqn.primitive.name in _CONJUGATES or real):
            name: str = eqn.primitive.name
            return name
        if any(floating):
            known.update(eqn.outvars)
    return None
