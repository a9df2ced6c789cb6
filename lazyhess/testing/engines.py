"""What every engine has to do, whatever framework its objects are of."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from lazyhess._api import gradient, hessian
from lazyhess._indices import Array
from lazyhess._proxy.hessian import Hessian

# Indices of a matrix of shape (6, 6), as NumPy knows them.
_INDICES: tuple[Any, ...] = (
    2,
    -1,
    (1, 3),
    slice(1, 4),
    slice(None, None, -2),
    (slice(None), 2),
    (slice(2, 5), slice(0, 2)),
    (..., slice(3, None)),
    (None, 1, ...),
    [4, 0, 4],
    ([0, 2, 5], [1, 1, 3]),
    ([[0], [3]], [[1, 2]]),
    (slice(None), [5, 0]),
    np.arange(6) % 2 == 0,
    slice(3, 3),
    (),
)


def check_engine(
    array: Callable[[Array], Any],
    total: Callable[..., Any],
    *,
    numpy: Callable[[Any], Array] = np.asarray,
    graph: Callable[[Callable[..., Any], Any], tuple[Any, Any]] | None = None,
    create_graph: bool = True,
    strict: bool = True,
    shared: bool = True,
    rtol: float = 1e-10,
) -> None:
    """Check that Hessians of a framework's objects do what those of lazyhess's own do.

    Shapes, dtypes, every form of index, counts of products, blocks, batches, reductions, products,
    gradients, other points, errors, threads, pickles, and that answers share no memory with what is
    kept.
    The numbers are compared with those of lazyhess's own engine.

    Parameters
    ----------
    array : callable
        Makes an array of the framework of a float64 array of NumPy.
    total : callable
        The framework's sum: ``total(x)``, and ``total(x, axis)``.
    numpy : callable
        Makes a NumPy array of one of the framework.
    graph : callable, optional
        ``graph(function, xs)`` gives ``(ys, xs)`` recorded, for frameworks that record graphs.
    create_graph, strict, shared : bool
        Whether the framework can differentiate an answer again, can tell what ys does not depend
        on, and knows per-sample Hessians by arrays that all samples share.
    rtol : float
        Of comparisons, relative to the largest element.

    Raises
    ------
    AssertionError
        Where something differs.

    Examples
    --------
    >>> import numpy as np
    >>> import lazyhess as lh
    >>> lh.testing.check_engine(np.asarray, np.sum, strict=False, shared=False)
    """
    checks = _Checks(array, total, numpy, graph, rtol)
    checks.indices()
    checks.blocks()
    checks.batches()
    checks.reductions()
    checks.products()
    checks.points()
    checks.answers()
    checks.threads()
    checks.pickles()
    if strict:
        checks.unrelated()
    if create_graph:
        checks.graphs()
    if shared:
        checks.shared()


class _Checks:
    def __init__(
        self,
        array: Callable[[Array], Any],
        total: Callable[..., Any],
        numpy: Callable[[Any], Array],
        graph: Callable[[Callable[..., Any], Any], tuple[Any, Any]] | None,
        rtol: float,
    ) -> None:
        self.array, self.total, self.numpy, self.graph, self.rtol = array, total, numpy, graph, rtol
        rng = np.random.default_rng(0)
        self.x = rng.normal(size=6)
        self.a, self.b = rng.normal(size=(2, 3)), rng.normal(size=3)
        self.X = rng.normal(size=(4, 3))

    # --- functions, of the framework's arrays and of NumPy's --------------------------------------

    def one(self, total: Any) -> Callable[[Any], Any]:
        return lambda x: total(x**3) * total(x[1:] * x[:-1]) + total(x[2:4] ** 4)

    def two(self, total: Any) -> Callable[[Any, Any], Any]:
        return lambda a, b: total((a * b) ** 3) + total(a[0] ** 2) * total(b)

    def samples(self, total: Any) -> Callable[[Any], Any]:
        return lambda X: total(X**3, 1) * X[:, 0]

    # --- helpers ----------------------------------------------------------------------------------

    def ways(self, function: Callable[..., Any], xs: Any, **options: Any) -> Iterator[Any]:
        """The Hessian of a callable, and of what it recorded."""
        mine = tuple(map(self.array, xs)) if isinstance(xs, tuple) else self.array(xs)
        yield hessian(function, mine, **options)
        if self.graph is not None:
            yield hessian(*self.graph(function, mine), **options)

    def same(self, what: str, got: Any, want: Any) -> None:
        got, want = self.numpy(got), np.asarray(want)
        if got.shape != want.shape:
            raise AssertionError(f"{what}: shape {got.shape}, and not {want.shape}")
        scale = np.abs(want).max(initial=0) or 1.0
        if want.size and not np.abs(got - want).max() <= self.rtol * scale:
            off = np.abs(got - want).max() / scale
            raise AssertionError(f"{what}: off by {off:.1e}, relative to the largest element")

    @staticmethod
    def equal(what: str, got: Any, want: Any) -> None:
        if got != want:
            raise AssertionError(f"{what}: {got}, and not {want}")

    @staticmethod
    def refused(what: str, call: Callable[[], Any], *words: str) -> None:
        try:
            call()
        except (ValueError, TypeError, IndexError, RuntimeError) as error:
            missing = [word for word in words if word not in str(error)]
            if missing:
                raise AssertionError(
                    f"{what}: the error does not say {missing}: {error}"
                ) from error
            return
        raise AssertionError(f"{what}: no error")

    # --- what is checked --------------------------------------------------------------------------

    def indices(self) -> None:
        want = np.asarray(hessian(self.one(np.sum), self.x))
        mine = self.array(self.x)
        for H in self.ways(self.one(self.total), self.x):
            self.equal("shape", H.shape, (6, 6))
            self.equal("dtype", H.dtype, mine.dtype)
            self.same("row 1", H[1], want[1])
            self.equal("products of a row", H.cache_info().products, 1)
            self.same("column 1", H[:, 1], want[:, 1])
            self.equal("products of a row and its column", H.cache_info().products, 1)
            for index in _INDICES:
                self.same(f"H[{index}]", H[index], want[index])
                self.same(f"H.T[{index}]", H.T[index], want.T[index])
            self.same("H[...]", H[...], want)
            self.equal("products of all", H.cache_info().products, 6)
            self.same("np.asarray(H)", np.asarray(H), want)
            self.same("the diagonal", H.diagonal(), np.diagonal(want))
            rows, columns, values = H.tocoo()
            full = np.zeros_like(want)
            full[np.asarray(rows), np.asarray(columns)] = self.numpy(values)
            self.same("tocoo", self.array(full), want)
            self.refused("an index out of bounds", partial(H.__getitem__, 6), "6")
            if type(H[0]) is not type(H[:2]):
                raise AssertionError(f"answers are of types {type(H[0])} and {type(H[:2])}")
        for H in self.ways(self.one(self.total), self.x, cache=None, block_size=2):
            self.same("H[...] in passes", H[...], want)
            self.same("H[2] without a cache", H[2], want[2])
            self.equal("products without a cache", H.cache_info().products, 7)

    def blocks(self) -> None:
        want = hessian(self.two(np.sum), (self.a, self.b))
        for H in self.ways(self.two(self.total), (self.a, self.b)):
            for i in range(2):
                for j in range(2):
                    self.equal("shape", H[i][j].shape, want[i][j].shape)
            self.same("columns of a block", H[0][1][:, :, 2], want[0][1][:, :, 2])
            self.equal("products of one column", H[0][1].cache_info().products, 1)
            self.same("the block across", H[1][0][2], want[1][0][2])
            self.equal("products of its row, too", H[0][1].cache_info().products, 1)
            for i in range(2):
                for j in range(2):
                    self.same(f"block {i}, {j}", H[i][j][...], want[i][j])
        mine = {"a": self.array(self.a), "b": [self.array(self.b)]}
        two = self.two(self.total)
        named = hessian(lambda xs: two(xs["a"], xs["b"][0]), mine)
        self.same("a block by name", named["a"]["b"][0][1], want[0][1][1])

    def batches(self) -> None:
        want = np.asarray(hessian(self.samples(np.sum), self.X, 0))
        samples = self.samples(self.total)
        for H in self.ways(samples, self.X, batch_axis=0):
            self.same("a sample", H[2], want[2])
            self.equal("products of a sample", H.cache_info().products, 3)
            self.same("rows of all samples", H[:, 1], want[:, 1])
            self.same("all samples", H[...], want)
            self.same(
                "the gradient",
                H.gradient(),
                gradient(self.samples(np.sum), self.X, reduction="sum"),
            )
        turned = hessian(lambda X: self.total(X**3, 0) * X[0], self.array(self.X.T), -1)
        self.same("a batch axis at the end", turned[...], want)
        self.refused(
            "samples that interact",
            lambda: hessian(lambda X: samples(X) * self.total(X), self.array(self.X), 0),
            "interact",
        )

    def reductions(self) -> None:
        x, samples = self.array(self.X), self.samples(self.total)
        want = hessian(self.samples(np.sum), self.X, reduction="sum")
        for H in self.ways(samples, self.X, reduction="sum"):
            self.same("the Hessian of a sum", H[...], want)
        want = hessian(self.samples(np.sum), self.X, reduction="none")
        for H in self.ways(samples, self.X, reduction="none"):
            self.equal("shape", H.shape, want.shape)
            self.same("one output", H[1], want[1])
            self.same("all outputs", H[...], want)
            self.same("their gradients", H.gradient(), want.gradient())
        self.refused("several outputs", lambda: hessian(samples, x), "one element", "reduction")

    def products(self) -> None:
        rng = np.random.default_rng(1)
        v, V = rng.normal(size=6), rng.normal(size=(6, 2))
        want = np.asarray(hessian(self.one(np.sum), self.x))
        for H in self.ways(self.one(self.total), self.x):
            self.same("H @ v", H @ self.array(v), want @ v)
            self.equal("products of H @ v", H.cache_info().products, 1)
            self.same("H @ V", H @ self.array(V), want @ V)
        for H in self.ways(self.samples(self.total), self.X, batch_axis=0):
            want = np.asarray(hessian(self.samples(np.sum), self.X, 0))
            self.same("H @ v by sample", H @ self.array(v[:3]), want @ v[:3])

    def points(self) -> None:
        one, mine = self.one(self.total), self.array(self.x)
        H = hessian(one, mine)
        self.same("the value", H.value, self.one(np.sum)(self.x))
        self.same("the gradient", H.gradient(), gradient(self.one(np.sum), self.x))
        self.same("gradient()", gradient(one, mine), gradient(self.one(np.sum), self.x))
        moved = H.at(self.array(2 * self.x))
        self.same("at another point", moved[...], hessian(self.one(np.sum), 2 * self.x))
        made, aux = hessian(lambda x: (one(x), 7), mine, has_aux=True)
        self.equal("aux", aux, 7)
        self.same("with aux", made[0], H[0])
        two = self.two(self.total)
        some = hessian(two, (self.array(self.a), self.array(self.b)), argnums=1)
        self.same("by one argument", some[...], hessian(self.two(np.sum), (self.a, self.b))[1][1])

    def answers(self) -> None:
        """An answer is the caller's own."""
        for H in self.ways(self.one(self.total), self.x):
            first, whole = self.numpy(H[0]).copy(), self.numpy(H[...]).copy()
            for index in (0, ..., slice(0, 6), (slice(None), 0)):
                made = np.asarray(self.numpy(H[index]))
                if made.flags.writeable:
                    made[...] = 99
            slope = np.asarray(self.numpy(H.gradient()))
            if slope.flags.writeable:
                slope[...] = 99
            self.same("a row after its answer was changed", H[0], first)
            self.same("all after an answer was changed", H[...], whole)
            self.same("the gradient after", H.gradient(), gradient(self.one(np.sum), self.x))

    def pickles(self) -> None:
        """A pickle knows what was known, or says that there is none."""
        want = np.asarray(hessian(self.one(np.sum), self.x))
        for H in self.ways(self.one(self.total), self.x):
            H[1]
            try:
                again = pickle.loads(pickle.dumps(H))
            except TypeError as error:
                if "pickle" not in str(error):
                    raise AssertionError(f"the error does not speak of pickles: {error}") from error
                continue
            self.same("a row that was known", again[1], want[1])
            self.equal("its products", again.cache_info().products, 1)
            self.same("all of a pickle", again[...], want)

    def threads(self) -> None:
        want = np.asarray(hessian(self.one(np.sum), self.x))
        for H in self.ways(self.one(self.total), self.x):
            wrong: list[BaseException] = []

            def ask(first: int, H: Hessian = H, wrong: list[BaseException] = wrong) -> None:
                try:
                    for k in range(6):
                        row = (first + k) % 6
                        self.same(f"row {row} in a thread", H[row], want[row])
                except BaseException as error:
                    wrong.append(error)

            running = [threading.Thread(target=ask, args=(first,)) for first in range(4)]
            for thread in running:
                thread.start()
            for thread in running:
                thread.join()
            if wrong:
                raise wrong[0]
            self.equal("products of four threads", H.cache_info().products, 6)

    def unrelated(self) -> None:
        def first(a: Any, b: Any) -> Any:
            return self.total(a**3)

        for H in self.ways(first, (self.a, self.b)):
            self.same("a block of what ys does not depend on", H[0][1][...], np.zeros((2, 3, 3)))
            self.same("and its rows", H[1][1][0], np.zeros(3))
        self.refused(
            "what ys does not depend on",
            lambda: list(self.ways(first, (self.a, self.b), strict=True)),
            "depend",
        )

    def graphs(self) -> None:
        """Third order: the derivative of a sum of elements."""
        if self.graph is None:
            return
        ys, xs = self.graph(lambda x: self.total(x) ** 4, self.array(self.x))
        H = hessian(ys, xs, create_graph=True)
        again = gradient(self.total(H[0]), xs)
        # Every element is 12 s², where s is the sum of x.
        self.same("third order", again, np.full(6, 6 * 24 * self.x.sum()))

    def shared(self) -> None:
        """Per-sample Hessians by arrays that all samples share."""

        def function(total: Any) -> Callable[[Any, Any], Any]:
            return lambda X, w: total((X * w) ** 3, 1) * X[:, 0]

        w = self.b
        full = hessian(function(np.sum), (self.X, w), reduction="none")
        pick = np.arange(len(self.X))
        want = {
            (0, 0): np.asarray(full[0][0])[pick, pick, :, pick],
            (0, 1): np.asarray(full[0][1])[pick, pick],
            (1, 0): np.asarray(full[1][0])[pick, :, pick],
            (1, 1): np.asarray(full[1][1]),
        }
        for H in self.ways(function(self.total), (self.X, w), batch_axis=(0, None)):
            self.same("one row of one sample", H[1][1][2, 1], want[1, 1][2, 1])
            self.equal("its products", H[1][1].cache_info().products, 1)
            for i in range(2):
                for j in range(2):
                    self.same(f"block {i}, {j}", H[i][j][...], want[i, j])
