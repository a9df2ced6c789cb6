"""Recording: a `Variable` stands for an array and remembers the primitive that made it.

NumPy's own protocols do the recording, so users write plain NumPy. The rules register themselves
in the tables of `lazyhess._record.primitive`; this module knows none of them by name. The graph is
made of data only, no closures, so that it pickles.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator
from operator import getitem
from typing import Any, NoReturn

import numpy as np
from numpy.typing import ArrayLike

from lazyhess._create import asarray, check_kind, check_operators
from lazyhess._indices import Array, Shape
from lazyhess._maps import Map
from lazyhess._record import reads
from lazyhess._record.operators import ArrayMethods
from lazyhess._record.primitive import (
    FUNCTIONS,
    METHODS,
    ON_DEMAND,
    UFUNCS,
    Operand,
    Primitive,
    no_rule,
    refuse_in_place,
    refuse_out,
)
from lazyhess._record.reads import serials


class Variable(ArrayMethods):
    """An array that records what NumPy does to it. Made by `lazyhess.variable`.

    Every NumPy function with a rule, every operator and the usual methods give Variables again;
    comparisons and questions about shape or position give plain values. The array itself is
    `value`; it never changes.

    Examples
    --------
    >>> import numpy as np
    >>> import lazyhess as lh
    >>> x = lh.variable(np.array([3.0, 4.0]))
    >>> np.sqrt(x @ x)
    Variable(5.)
    >>> x > 3.5
    array([False,  True])
    >>> (2 * x).value
    array([6., 8.])
    """

    __slots__ = (
        "__weakref__",
        "_linearized",
        "_operands",
        "_primitive",
        "_read",
        "_serial",
        "_snapshot",
    )

    _primitive: Primitive | None
    _operands: tuple[Operand, ...]
    _serial: int
    _read: int  # when a value was asked for last, before this was recorded
    _linearized: Any  # what gradient() and hessian() worked out for this output
    _snapshot: Any  # a weak reference to the _Snapshot being pickled, if any

    def __repr__(self) -> str:
        reads.look()
        text = np.array2string(self._value, separator=", ", prefix="Variable(")
        kind = "" if self.dtype == np.float64 else f", dtype={self.dtype}"
        return f"Variable({text}{kind})"

    def __format__(self, spec: str) -> str:
        reads.look()
        return format(self._value, spec) if spec else repr(self)

    def __len__(self) -> int:
        return len(self._value)

    def __bool__(self) -> bool:
        reads.note()
        return bool(self._value)

    def __contains__(self, item: Any) -> bool:
        reads.note()
        return value_of(item) in self._value

    def __iter__(self) -> Iterator[Variable]:
        if not self.shape:
            raise TypeError("iteration over a 0-d array")
        return (self[k] for k in range(len(self)))

    def __getitem__(self, index: Any) -> Variable:
        element: Variable = FUNCTIONS[getitem](self, index)
        return element

    def mapped(self, map_: Map) -> Variable:
        """A linear map of each of the arrays along the first axis: what tangent blocks need."""
        arrays: Variable = FUNCTIONS[Variable.mapped](self, map_)
        return arrays

    # --- NumPy's protocols ----------------------------------------------------------------------

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if kwargs.pop("out", None) is not None:
            refuse_out(ufunc.__name__)
        handler = UFUNCS.get(ufunc) if method == "__call__" else METHODS.get((ufunc, method))
        if handler is None and method == "__call__" and any(register() for register in ON_DEMAND):
            handler = UFUNCS.get(ufunc)
        if handler is None:
            name = ufunc.__name__ if method == "__call__" else f"{ufunc.__name__}.{method}"
            home = "numpy." if getattr(np, ufunc.__name__, None) is ufunc else ""
            no_rule(f"{home}{name}")
        return handler(*inputs, **kwargs)

    def __array_function__(
        self, func: Callable[..., Any], types: Any, args: Any, kwargs: Any
    ) -> Any:
        if kwargs.get("out") is not None:
            refuse_out(func.__name__)
        for kind in types:
            check_kind(kind)
        handler = FUNCTIONS.get(func)
        if handler is None:
            no_rule(f"{func.__module__}.{func.__name__}")
        kwargs.pop("out", None)
        return handler(*args, **kwargs)

    def __array__(self, dtype: Any = None, copy: Any = None) -> Array:
        # Typed as what NumPy's own annotations look for in what its functions accept.
        raise TypeError(
            "a Variable does not turn into a plain array by itself, since what is computed from "
            "that array would be missing in the derivative; use NumPy functions on the Variable "
            "(lazyhess.special has logsumexp, softmax and others that scipy writes in Python), or "
            ".value for the array without its derivative; a masked array beside it needs "
            ".filled(value) first, or np.asarray"
        )

    def __float__(self) -> NoReturn:
        _refuse_number("float(x)")

    def __int__(self) -> NoReturn:
        _refuse_number("int(x)", "int(x.value)")

    def __complex__(self) -> NoReturn:
        _refuse_number("complex(x)")

    def item(self, *args: Any) -> NoReturn:
        """Refused: the number would have no derivative."""
        _refuse_number("x.item()")

    def tolist(self) -> NoReturn:
        """Refused: the numbers would have no derivative."""
        _refuse_number("x.tolist()", "x.value.tolist(), or x.value.item()")

    def __reduce__(self) -> tuple[Any, ...]:
        reads.note()
        return _Snapshot.of(self)

    def __copy__(self) -> Variable:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Variable:
        return self

    # --- refused: a Variable never changes ------------------------------------------------------

    def __setitem__(self, index: Any, value: Any) -> NoReturn:
        raise TypeError(
            "a Variable is immutable: what was recorded must stay true; instead of x[index] = v "
            "write x = np.where(mask, v, x), or np.concatenate / np.stack the parts"
        )

    def fill(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refused: a Variable never changes."""
        refuse_in_place("Variable.fill", _NEW_ARRAY)

    def put(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refused: a Variable never changes."""
        refuse_in_place("Variable.put", _NEW_ARRAY)

    def partition(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refused: a Variable never changes."""
        refuse_in_place("Variable.partition", _NEW_ARRAY)

    def sort(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refused: a Variable never changes."""
        refuse_in_place("Variable.sort", _NEW_ARRAY)

    def resize(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refused: a Variable never changes."""
        refuse_in_place("Variable.resize", _NEW_ARRAY)

    def setfield(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refused: a Variable never changes."""
        refuse_in_place("Variable.setfield", _NEW_ARRAY)

    def byteswap(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refused: a Variable never changes."""
        refuse_in_place("Variable.byteswap", _NEW_ARRAY)

    def setflags(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refused: a Variable never changes."""
        refuse_in_place("Variable.setflags", _NEW_ARRAY)


def _refuse_number(kind: str, way: str = "x.value.item()") -> NoReturn:
    raise TypeError(
        f"{kind} of a Variable would drop its derivative without a word (math.sin(x) does this: "
        f"use np.sin(x)); {way} is the plain number"
    )


_NEW_ARRAY = "use the function that gives a new array (np.where, np.reshape, x[np.argsort(x)], ...)"


# --- recording ----------------------------------------------------------------------------------


def variable(array: ArrayLike) -> Variable:
    """Start recording: a Variable with a copy of `array` as its value.

    Parameters
    ----------
    array : array_like
        Floating or complex; Python floats and lists of them are taken as float64. The dtype is
        kept. Changing the array afterwards changes nothing that is recorded.

    Returns
    -------
    Variable
        A new independent variable, on which plain NumPy works.

    Raises
    ------
    TypeError
        For integers, booleans, objects and strings: only floating and complex dtypes have
        derivatives. For masked arrays and `numpy.matrix`, which would lose their meaning.

    Examples
    --------
    >>> import numpy as np
    >>> import lazyhess as lh
    >>> x = lh.variable([1.0, 2.0, 3.0])
    >>> np.sum(x**2)
    Variable(14.)
    """
    if isinstance(array, Variable):
        return leaf(array.value)
    check_operators(array)
    # Its own copy, whatever came: a later change of the user's array must not reach the record.
    value = np.array(array, order="C", subok=False)
    if value.dtype.kind not in "fc":
        raise TypeError(
            f"only floating and complex dtypes have derivatives, got dtype {value.dtype} "
            f"(shape {value.shape}); convert with np.asarray(x, dtype=float)"
        )
    return leaf(value)


def leaf(value: Array) -> Variable:
    """A Variable that no primitive made. The array becomes read-only."""
    return new_variable(None, (), value)


def new_variable(
    primitive: Primitive | None, operands: tuple[Operand, ...], value: Array
) -> Variable:
    """A Variable whose value is known. The array becomes read-only."""
    value.flags.writeable = False
    node = object.__new__(Variable)
    node._value = value
    node._primitive = primitive
    node._operands = operands
    node._serial = next(serials)
    node._read = reads.newest
    node._linearized = None
    node._snapshot = None
    return node


def record(primitive: Primitive, *operands: Operand) -> Variable:
    """Apply a primitive to operands, at least one of them a Variable, and remember it."""
    operands = tuple([x if type(x) is Variable else constant(x) for x in operands])
    args = [x._value if type(x) is Variable else x for x in operands]
    return new_variable(primitive, operands, np.asarray(primitive.value(*args)))


def constant(x: Any) -> Any:
    """An operand that is not recorded: a scalar as it is, an array that nobody else can change."""
    if isinstance(x, (int, float, complex, np.generic)):
        return x
    if isinstance(x, Variable):
        return x
    array = asarray(x)
    if array.dtype.kind not in "biufc":
        raise TypeError(f"an operand must be numeric, got {type(x).__name__} (dtype {array.dtype})")
    # In this order: asked whether a broadcast is writeable, NumPy warns.
    if not array.flags.owndata or array.flags.writeable:
        array = array.copy()
        array.flags.writeable = False
    return array


def value_of(x: Any) -> Any:
    """The plain value of a Variable; of lists and tuples, of what is in them; else `x`.

    For functions that are not primitives: what they decide by it is not decided again, see `reads`.
    """
    if isinstance(x, Variable):
        reads.note()
        return x._value
    if type(x) in (list, tuple):
        return type(x)(value_of(item) for item in x)
    check_operators(x)
    return x


def shape_of(x: Any) -> Shape:
    """The shape of an operand."""
    return x.shape if isinstance(x, (Variable, np.ndarray)) else np.shape(x)


# --- pickling -----------------------------------------------------------------------------------


class _Snapshot:
    """A recorded graph as a flat list, so that long chains of operands need no deep recursion.

    All Variables pickled together must come back as one graph. While a snapshot is alive (pickle
    keeps what it has seen until it is done), its Variables know it, and refer to their place in
    it instead of making another one.
    """

    __slots__ = ("__weakref__", "nodes")

    def __init__(self, nodes: list[Variable]) -> None:
        self.nodes = nodes

    @classmethod
    def of(cls, root: Variable) -> tuple[Any, ...]:
        snapshot = root._snapshot and root._snapshot()
        if snapshot is None:
            nodes = ancestors([root], lambda node: not (node._snapshot and node._snapshot()))
            snapshot = cls(nodes)
            for node in nodes:
                node._snapshot = weakref.ref(snapshot)
        place = {id(node): k for k, node in enumerate(snapshot.nodes)}[id(root)]
        return _from_snapshot, (snapshot, place)

    def __reduce__(self) -> tuple[Any, ...]:
        place = {id(node): k for k, node in enumerate(self.nodes)}
        # A snapshot before this one may hold what they were made from.
        first = self.nodes[0]._serial
        outside = (x for node in self.nodes for x in node._operands if type(x) is Variable)
        before = min((x._serial for x in outside if x._serial < first), default=first)
        rows = []
        for node in self.nodes:
            places = [(place[id(x)], None) if id(x) in place else (-1, x) for x in node._operands]
            # Whether a value was asked for between the one before and this one.
            rows.append((node._primitive, places, node._value, node._read > before))
            before = node._serial
        return _load_snapshot, (rows,)


def _load_snapshot(rows: list[tuple[Any, ...]]) -> _Snapshot:
    nodes: list[Variable] = []
    for primitive, places, value, read in rows:
        if read:
            reads.note()
        operands = tuple(x if place < 0 else nodes[place] for place, x in places)
        nodes.append(new_variable(primitive, operands, np.asarray(value)))
    return _Snapshot(nodes)


def _from_snapshot(snapshot: _Snapshot, place: int) -> Variable:
    return snapshot.nodes[place]


def ancestors(
    roots: Iterable[Variable], enter: Callable[[Variable], bool] | None = None
) -> list[Variable]:
    """The roots and all that they were made from, in the order of recording.

    With `enter`, only through nodes for which it holds.
    """
    seen: dict[int, Variable] = {}
    stack = list(roots)
    while stack:
        node = stack.pop()
        if node._serial in seen or not (enter is None or enter(node)):
            continue
        seen[node._serial] = node
        stack.extend([x for x in node._operands if type(x) is Variable and x._serial not in seen])
    return [seen[serial] for serial in sorted(seen)]
