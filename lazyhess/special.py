"""The functions of `scipy.special` that a Variable cannot reach by itself.

The ufuncs of `scipy.special` (``erf``, ``gammaln``, ``xlogy``, ...) take Variables as they are.
What is written in Python there turns its arguments into plain arrays first; those functions are
here, by the same names and with the same arguments, for Variables and for arrays. `logsumexp`,
`softmax` and `log_softmax` need no scipy.

>>> import numpy as np
>>> import lazyhess as lh
>>> from lazyhess.special import logsumexp
>>> x = lh.variable(np.zeros(2))
>>> np.asarray(lh.hessian(logsumexp(x), x))
array([[ 0.25, -0.25],
       [-0.25,  0.25]])
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lazyhess._create import asarray
from lazyhess._primitives.base import axis_tuple
from lazyhess._primitives.logsumexp import LogSumExp
from lazyhess._primitives.reduce import reduced
from lazyhess._record.variable import Variable, record, value_of

__all__ = ["log_softmax", "logsumexp", "multigammaln", "polygamma", "softmax"]


def logsumexp(
    a: Any, axis: Any = None, b: Any = None, keepdims: bool = False, return_sign: bool = False
) -> Any:
    """Compute ``log(sum(b * exp(a)))`` without overflow, as `scipy.special.logsumexp`.

    Parameters
    ----------
    a : array_like or Variable
        The exponents.
    axis : int or tuple of int, optional
        The axes to sum over; all by default.
    b : array_like or Variable, optional
        The weight of each element; broadcasts with `a`. An element with a weight of zero does not
        count, whatever it is.
    keepdims : bool, optional
        Whether the axes summed over stay, with length 1.
    return_sign : bool, optional
        Whether to give the logarithm of the absolute sum, and the sign of the sum with it. Without
        it, the logarithm of a negative sum is NaN.

    Returns
    -------
    Variable, or ndarray
        The logarithm; -inf where the sum has no elements, or none that is not -inf. With
        `return_sign` a pair; the sign is a plain array, since its derivative is zero.

    Raises
    ------
    NotImplementedError
        For complex numbers with `return_sign`.

    Notes
    -----
    The derivatives are shares, ``s = b exp(a) / sum(b exp(a))``, and ``diag(s) - s s.T``. An
    element of -inf has no share; elements of inf share all there is.

    Examples
    --------
    >>> import numpy as np
    >>> import lazyhess as lh
    >>> x = lh.variable([1000.0, 1000.0, -np.inf])
    >>> lh.gradient(logsumexp(x), x)
    array([0.5, 0.5, 0. ])
    """
    a = np.atleast_1d(_floating(a))
    if b is not None:
        # A number of Python's leaves the dtype alone.
        b = np.asarray(b, a.dtype) if type(b) in (int, float) else _floating(b)
        shape = np.broadcast_shapes(a.shape, b.shape)
        a, b = (x if x.shape == shape else np.broadcast_to(x, shape) for x in (a, b))
    operands = (a,) if b is None else (a, b)
    axes = axis_tuple(axis, a.ndim)
    if any(x.dtype.kind == "c" for x in operands):
        return _complex(a, axes, b, keepdims, return_sign)
    primitive = LogSumExp.of(axes, reduced(a.shape, axes, keepdims))
    if b is None and not return_sign:
        sign = None  # is never negative
    else:
        sign = primitive.signed(*(value_of(x) for x in operands))[1]
    if any(isinstance(x, Variable) for x in operands):
        made: Any = record(primitive, *operands)
    else:
        made = primitive.value(*operands)[()]
    if return_sign:
        return made, (np.sign(np.exp(value_of(made))) if sign is None else sign)[()]
    if sign is None or not np.any(sign < 0):
        return made
    return made + np.where(sign < 0, made.dtype.type(np.nan), made.dtype.type(0))


def _complex(a: Any, axes: tuple[int, ...], b: Any, keepdims: bool, return_sign: bool) -> Any:
    if return_sign:
        raise NotImplementedError(
            "logsumexp with return_sign=True has a rule for real numbers only"
        )
    real = np.real(value_of(a))
    peak = np.max(real, axis=axes, keepdims=True, initial=-np.inf)
    peak = np.where(np.isfinite(peak), peak, 0)
    power = np.exp(a - peak)
    made = np.log(np.sum(power if b is None else b * power, axis=axes, keepdims=True)) + peak
    return made if keepdims else np.squeeze(made, axis=axes)


def softmax(x: Any, axis: Any = None) -> Any:
    """Compute ``exp(x) / sum(exp(x))``, as `scipy.special.softmax`.

    Parameters
    ----------
    x : array_like or Variable
        The exponents.
    axis : int or tuple of int, optional
        The axes along which the shares add up to 1; all by default.

    Returns
    -------
    Variable, or ndarray
        The shares, in the shape of `x`.

    Examples
    --------
    >>> softmax([0.0, np.log(3.0)])
    array([0.25, 0.75])
    """
    return np.exp(log_softmax(x, axis))


def log_softmax(x: Any, axis: Any = None) -> Any:
    """Compute the logarithm of `softmax`, as `scipy.special.log_softmax`.

    Parameters
    ----------
    x : array_like or Variable
        The exponents.
    axis : int or tuple of int, optional
        The axes along which the shares add up to 1; all by default.

    Returns
    -------
    Variable, or ndarray
        The logarithms of the shares, in the shape of `x`.

    Examples
    --------
    >>> log_softmax([1000.0, 0.0])
    array([    0., -1000.])
    """
    x = _floating(x)
    peak = np.max(value_of(x), axis=axis, keepdims=True)
    x = x - np.where(np.isfinite(peak), peak, 0)
    return x - np.reshape(logsumexp(x, axis=axis, keepdims=True), peak.shape)


def polygamma(n: Any, x: Any) -> Any:
    """Compute the n-th derivative of digamma, as `scipy.special.polygamma`. Needs scipy.

    Parameters
    ----------
    n : array_like of int
        The order, which has no derivative: not a Variable.
    x : array_like or Variable
        Where.

    Returns
    -------
    Variable, or ndarray
        The value.

    Raises
    ------
    NotImplementedError
        For a Variable as order.
    ImportError
        Without scipy.

    Examples
    --------
    >>> import lazyhess as lh
    >>> x = lh.variable(1.0)
    >>> lh.gradient(polygamma(0, x), x) == polygamma(1, 1.0)
    np.True_
    """
    sp = _scipy()
    if isinstance(n, Variable):
        raise NotImplementedError(
            "polygamma has no derivative rule for its order; give it as a plain array, n.value"
        )
    n, x = np.asarray(n), _floating(x)
    if not isinstance(x, Variable):
        return sp.polygamma(n, x).astype(x.dtype)
    if np.all(n == 0):
        return sp.psi(np.broadcast_to(x, np.broadcast_shapes(n.shape, x.shape)))
    made = (-1.0) ** (n + 1) * sp.gamma(n + 1.0) * sp.zeta(n + 1.0, x)
    return np.where(n == 0, sp.psi(x), made) if np.any(n == 0) else made


def multigammaln(a: Any, d: int) -> Any:
    """Compute the logarithm of the multivariate gamma, as `scipy.special.multigammaln`.

    Needs scipy.

    Parameters
    ----------
    a : array_like or Variable
        Where; each element greater than ``(d - 1) / 2``.
    d : int
        The dimension.

    Returns
    -------
    Variable, or ndarray
        The value.

    Raises
    ------
    ValueError
        If `d` is not whole or an element of `a` too small.
    ImportError
        Without scipy.

    Examples
    --------
    >>> import lazyhess as lh
    >>> multigammaln(lh.variable(1.0), 1)
    Variable(0.)
    """
    sp = _scipy()
    a = _floating(a)
    plain = sp.multigammaln(value_of(a), d)  # checks both
    if not isinstance(a, Variable):
        return np.asarray(plain, a.dtype)[()]
    terms = sp.gammaln(a[..., None] - 0.5 * np.arange(int(d)).astype(a.dtype))
    return np.sum(terms, axis=-1) + 0.25 * int(d) * (int(d) - 1) * float(np.log(np.pi))


def _floating(x: Any) -> Any:
    """Make an array of what is no Variable; integers become float64."""
    if isinstance(x, Variable):
        return x
    x = asarray(x)
    return x if x.dtype.kind in "fc" else x.astype(float)


def _scipy() -> Any:
    try:
        import scipy.special
    except ImportError as error:
        raise ImportError("this function needs scipy: pip install 'lazyhess[scipy]'") from error
    return scipy.special
