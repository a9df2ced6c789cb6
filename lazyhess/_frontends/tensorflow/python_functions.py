"""Python functions among the operations of TensorFlow, which stop derivatives without a word.

`tf.numpy_function` has no derivative at all, and that of `tf.py_function` cannot be differentiated
again: what depends on them would come out as zero.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import tensorflow as tf
from tensorflow.python.eager import record
from tensorflow.python.eager.polymorphic_function import concrete_function
from tensorflow.python.ops import custom_gradient, script_ops
from tensorflow.python.ops.resource_variable_ops import BaseResourceVariable, ResourceVariable

from lazyhess._locks import lock

# Ops -> what makes them, and whether it has first derivatives.
_OPS = {
    "PyFunc": ("tf.numpy_function", False),
    "PyFuncStateless": ("tf.numpy_function", False),
    "EagerPyFunc": ("tf.py_function", True),
}


@dataclass
class Watch:
    """What is being called, and what was seen of it."""

    order: int  # of the derivatives that are wanted
    changes: bool = False  # whether it changed a Variable


_watch: ContextVar[Watch | None] = ContextVar("watch", default=None)
_lock = lock()
_users = 0
_ops_of: WeakKeyDictionary[Any, list[str]] = WeakKeyDictionary()


@contextmanager
def refusing(order: int) -> Iterator[Watch]:
    """Within it Python functions of what is differentiated are refused, in this thread.

    TensorFlow does not say that it calls one, so its own functions are replaced as long as
    somebody needs it.
    """
    global _users
    with _lock:
        if not _users:
            for (owner, name), (_, watched) in _WATCHED.items():
                setattr(owner, name, watched)
        _users += 1
    watch = Watch(order)
    token = _watch.set(watch)
    try:
        yield watch
    finally:
        _watch.reset(token)
        with _lock:
            _users -= 1
            if not _users:
                for (owner, name), (plain, _) in _WATCHED.items():
                    setattr(owner, name, plain)


def _refuse(op: str, inputs: Any, dtypes: Iterable[Any]) -> None:
    """Refuse an op of floating results that the tapes would have to go through."""
    watch = _watch.get()
    name, first = _OPS[op]
    if watch is None or (first and watch.order == 1) or not _recorded(inputs):
        return
    if not any(getattr(dtype, "is_floating", True) for dtype in dtypes):
        return
    what = "second derivatives" if first else "derivatives"
    raise NotImplementedError(
        f"TensorFlow has no {what} of {name}, through which ys depends on xs: they would be zero; "
        "write that part with TensorFlow's own ops, or give it its derivatives by "
        "tf.custom_gradient, or write ys in NumPy, lh.hessian(f, array)"
    )


def _recorded(inputs: Any) -> bool:
    tensors = [x for x in tf.nest.flatten(inputs) if tf.is_tensor(x) or hasattr(x, "handle")]
    tensors = [getattr(x, "handle", x) for x in tensors]
    return bool(tensors) and bool(record.should_record_backprop(tensors))


def _dtypes(result: Any) -> list[Any]:
    return [tf.as_dtype(t) for t in tf.nest.flatten(result) if not isinstance(t, tf.TypeSpec)]


def _numpy_function(plain: Callable[..., Any]) -> Callable[..., Any]:
    def watched(func: Any, inp: Any, Tout: Any, *args: Any, **kwargs: Any) -> Any:
        _refuse("PyFunc", inp, _dtypes(Tout))
        return plain(func, inp, Tout, *args, **kwargs)

    return watched


def _py_function(plain: Callable[..., Any]) -> Callable[..., Any]:
    def watched(func: Any, inp: Any, Tout: Any, *args: Any, **kwargs: Any) -> Any:
        if kwargs.get("use_eager_py_func") and not kwargs.get("is_grad_func"):
            _refuse("EagerPyFunc", inp, _dtypes(Tout))
        return plain(func, inp, Tout, *args, **kwargs)

    return watched


def _custom_gradient(plain: Callable[..., Any]) -> Callable[..., Any]:
    def watched(f: Any, args: Any, kwargs: Any) -> Any:
        def own(*args: Any, **kwargs: Any) -> Any:
            token = _watch.set(None)  # what has its derivatives by hand may be anything
            try:
                return f(*args, **kwargs)
            finally:
                _watch.reset(token)

        return plain(own, args, kwargs)

    return watched


def _changed(plain: Callable[..., Any]) -> Callable[..., Any]:
    def watched(*args: Any, **kwargs: Any) -> Any:
        _note_change()
        return plain(*args, **kwargs)

    return watched


def _note_change() -> None:
    watch = _watch.get()
    if watch is not None:
        watch.changes = True


def _called(plain: Callable[..., Any]) -> Callable[..., Any]:
    def watched(self: Any, tensor_inputs: Any, captured_inputs: Any) -> Any:
        if _watch.get() is not None:
            for op in _notable_ops(self):
                if op in _OPS:
                    _refuse(op, (tensor_inputs, captured_inputs), [tf.float64])
                else:
                    _note_change()
        return plain(self, tensor_inputs, captured_inputs)

    return watched


def _notable_ops(concrete: Any) -> list[str]:
    """The ops of a compiled function, and what it calls, that are Python or change Variables."""
    if concrete not in _ops_of:
        graph = concrete.graph.as_graph_def()
        bodies = [graph.node, *(inner.node_def for inner in graph.library.function)]
        found = {
            node.op
            for nodes in bodies
            for node in _followed(nodes)
            if node.op in _OPS
            and node.input
            and any(tf.as_dtype(t).is_floating for t in node.attr["Tout"].list.type)
        }
        ops = {node.op for nodes in bodies for node in nodes}
        _ops_of[concrete] = sorted(found | {op for op in ops if op.startswith("Assign")})
    return _ops_of[concrete]


def _followed(nodes: Any) -> list[Any]:
    """The nodes of a graph whose own derivatives count: not those of what has them by hand."""
    by_name = {node.name: node for node in nodes}
    sources = {
        name: [part.partition(":")[0] for part in node.input if not part.startswith("^")]
        for name, node in by_name.items()
    }
    used = {source for names in sources.values() for source in names}
    stack = [name for name in by_name if name not in used]
    found: dict[str, Any] = {}
    while stack:
        name = stack.pop()
        if name in by_name and name not in found:
            found[name] = by_name[name]
            if "_gradient_op_type" not in by_name[name].attr:
                stack += sources[name]
    return list(found.values())


# What is replaced -> as it is, and watched.
_WATCHED: dict[tuple[Any, str], tuple[Any, Any]] = {
    (owner, name): (getattr(owner, name), watched(getattr(owner, name)))
    for owner, name, watched in (
        (script_ops, "py_func_common", _numpy_function),
        (script_ops, "_internal_py_func", _py_function),
        (custom_gradient, "_eager_mode_decorator", _custom_gradient),
        (concrete_function.ConcreteFunction, "_call_flat", _called),
        *(
            (owner, name, _changed)
            for owner in (BaseResourceVariable, ResourceVariable)  # which has copies of them
            for name in ("assign", "assign_add", "assign_sub")
        ),
    )
}
