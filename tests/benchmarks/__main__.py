"""``python -m tests.benchmarks``: the table of docs/performance.md.

Ours and JAX take turns; what is printed are medians, and medians of ratios of neighbours.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np

import lazyhess as lh
from tests.benchmarks import workloads as w

try:
    import jax
    import jax.numpy as jnp

    jax.config.update("jax_enable_x64", True)
except ImportError:  # then only ours is timed
    jax = None

try:
    import asdex
except ImportError:  # a peer for sparse Hessians, timed where it is installed
    asdex = None

ROWS: list[dict[str, Any]] = []


def rested(work: Callable[[], Any]) -> float:
    """The steady time of a call, with the threads of the other side asleep.

    Those of a BLAS wait for more work in a loop, for tens of milliseconds, and take the processor
    from whoever comes next. After the rest one call, not timed, warms the caches again.
    """
    time.sleep(0.1)
    work()
    return clock(work)


def clock(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def report(name: str, value: float, unit: str, limit: float | None, **more: Any) -> None:
    row = {"name": name, "value": value, "unit": unit, "limit": limit, **more}
    row["met"] = None if limit is None else bool(value <= limit)
    ROWS.append(row)
    bound = "" if limit is None else f"<= {limit:g}  {'met' if row['met'] else 'MISSED'}"
    extra = "  ".join(f"{key} {text}" for key, text in more.items())
    print(f"{name:58s} {value:10.3g} {unit:6s} {bound:18s} {extra}", flush=True)


def everything(work: w.Workload) -> list[list[np.ndarray]]:
    """All blocks, from plain arrays: recording, linearization, rows and assembly."""
    H = lh.hessian(lambda *xs: work.function(np, *xs), work.xs)
    return [[np.asarray(block) for block in row] for row in H]


def jitted_rows(work: w.Workload) -> Callable[[], Any]:
    """The rows of the second atom, as JAX users write them."""
    gradient = jax.grad(lambda x: work.function(jnp, x))
    seeds = np.eye(3, work.xs[0].size, 3).reshape(3, *work.xs[0].shape)
    rows = jax.jit(lambda x: jax.vmap(lambda s: jax.jvp(gradient, (x,), (s,))[1])(seeds))
    return lambda: jax.block_until_ready(rows(work.xs[0]))


def jitted(work: w.Workload, argnums: Any) -> Callable[[], Any]:
    function = jax.jit(jax.hessian(lambda *xs: work.function(jnp, *xs), argnums=argnums))
    return lambda: jax.block_until_ready(function(*work.xs))


def against_jax(
    work: w.Workload, repeat: int, ours: Callable[[], Any], theirs: Callable[[], Any] | None,
    what: str = "full Hessian", limit: float | None = 1.0,
) -> None:  # fmt: skip
    """Ours and JAX in turns."""
    ours()
    if theirs is None:
        report(f"{work.name}: {what}", 1e3 * median(clock(ours) for _ in range(repeat)), "ms", None)
        return
    first = clock(theirs)
    theirs()
    pairs = [(rested(ours), rested(theirs)) for _ in range(repeat)]
    mine, other = (median(side) for side in zip(*pairs, strict=True))
    ratio = median(a / b for a, b in pairs)
    report(
        f"{work.name}: {what}", ratio, "x JAX", limit,
        ours=f"{1e3 * mine:.1f} ms", jax=f"{1e3 * other:.1f} ms", compile=f"{first:.2f} s",
    )  # fmt: skip


def full(make: Callable[[], w.Workload]) -> Callable[[Any], None]:
    def run(options: Any) -> None:
        work = make()
        argnums = tuple(range(len(work.xs)))
        theirs = jitted(work, argnums) if jax else None
        against_jax(work, options.repeat, lambda: everything(work), theirs)

    return run


def three_rows(options: Any) -> None:
    work = w.lennard_jones(100)
    x = lh.variable(work.xs[0])
    y = work.function(np, x)
    theirs = jitted_rows(work) if jax else None
    title = "3 rows, recorded and linearized"
    against_jax(work, 5 * options.repeat, lambda: lh.hessian(y, x)[1], theirs, title)


def loop(options: Any) -> None:
    work = w.scalar_loop()
    if jax and options.slow:
        against_jax(work, options.repeat, lambda: everything(work), jitted(work, 0))
    everything(work)
    times = [clock(lambda: everything(work)) for _ in range(options.repeat)]
    report(f"{work.name}: full Hessian", median(times), "s", 0.1)


def rosenbrock(options: Any) -> None:
    work = w.rosenbrock()

    def ask() -> Any:
        return lh.hessian(lambda x: work.function(np, x), work.xs[0]).tocoo()

    ask()
    times = [clock(ask) for _ in range(3 * options.repeat)]
    report(f"{work.name}: nonzeros, recording included", 1e3 * median(times), "ms", 20)
    if jax and asdex:
        start = time.perf_counter()
        peer = jax.jit(asdex.hessian(lambda x: work.function(jnp, x), work.xs[0]))

        def theirs() -> Any:
            return jax.block_until_ready(peer(work.xs[0]))

        theirs()
        first = time.perf_counter() - start
        times = [clock(theirs) for _ in range(3 * options.repeat)]
        report(
            f"{work.name}: nonzeros by asdex", 1e3 * median(times), "ms", None,
            compile=f"{first:.2f} s",
        )  # fmt: skip


def slices(options: Any) -> None:
    work = w.polynomial()
    x = lh.variable(work.xs[0])
    y = work.function(np, x)
    H = lh.hessian(y, (x,))
    H[0][0][:, 7]
    report("H[0][0][:, 7] of N = 1000", H[0][0].cache_info().products, "prod.", 1)
    H[0][0][7, :]
    report("H[0][0][7, :] after it", H[0][0].cache_info().products - 1, "prod.", 0)
    times = [clock(lambda: lh.hessian(y, x)[7]) for _ in range(20 * options.repeat)]
    report("H[7] of N = 1000, linearized", 1e6 * median(times), "us", None)
    times = [clock(lambda: H[0][0][7]) for _ in range(20 * options.repeat)]
    report("H[7] of N = 1000, known", 1e6 * median(times), "us", None)


def samples(options: Any) -> None:
    work = w.per_sample()
    x = lh.variable(work.xs[0])
    y = work.function(np, x)
    lh.hessian(y, x, 0)[0]
    one = [clock(lambda: lh.hessian(y, x, 0)[123]) for _ in range(20 * options.repeat)]
    whole = [clock(lambda: np.asarray(lh.hessian(y, x, 0))) for _ in range(options.repeat)]
    ratio = median(one) / median(whole)
    report(
        "one sample of 10 000 against the whole batch", ratio, "x", 0.01,
        one=f"{1e3 * median(one):.2f} ms", whole=f"{1e3 * median(whole):.0f} ms",
    )  # fmt: skip
    cold = [
        clock(lambda: lh.hessian(lambda x: work.function(np, x), work.xs[0], 0)[123])
        for _ in range(options.repeat)
    ]
    report("one sample, recording the batch included", 1e3 * median(cold), "ms", None)


def alone(child: str) -> dict[str, float]:
    command = [sys.executable, "-m", "tests.benchmarks", "--child", child]
    answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found: dict[str, float] = json.loads(answer.splitlines()[-1])
    return found


def issue787(options: Any) -> None:
    """In a process of its own, so that its peak memory is its own."""
    found = alone("ours")
    name = "all pairs of 2483 atoms (JAX issue 787)"
    report(f"{name}: recording", found["record"], "s", None)
    report(f"{name}: gradient (linearization)", found["linearize"], "s", None)
    report(f"{name}: 3 rows after that", 1e3 * found["rows"], "ms", 30)
    report(f"{name}: gradient and 3 rows", 1e3 * found["first"], "ms", None)
    report(f"{name}: full Hessian", found["full"], "s", 25)
    report(f"{name}: peak memory of the process", found["peak"], "GB", 2.5)
    report(f"{name}: rows sum to zero, relative", found["drift"], "", 1e-12)
    if jax:  # the full Hessian is out of its memory
        found = alone("jax")
        report(
            f"{name}: 3 rows by JAX", 1e3 * found["rows"], "ms", None,
            compile=f"{found['first']:.2f} s", peak=f"{found['peak']:.2f} GB",
        )  # fmt: skip


def peak_memory() -> float:
    """In gigabytes, of this process alone: ru_maxrss has the peak of its parent in it."""
    with open("/proc/self/status", encoding="utf-8") as status:
        return next(int(line.split()[1]) * 1024e-9 for line in status if line.startswith("VmHWM"))


def jax_child() -> None:
    ask = jitted_rows(w.lennard_jones(2483))
    first = clock(ask)
    rows = median(clock(ask) for _ in range(3))
    print(json.dumps({"first": first, "rows": rows, "peak": peak_memory()}))


def child() -> None:
    work = w.lennard_jones(2483)
    start = time.perf_counter()
    x = lh.variable(work.xs[0])
    y = work.function(np, x)
    record = time.perf_counter() - start
    linearize = clock(lambda: lh.gradient(y, x))
    rows = median(clock(lambda k=k: lh.hessian(y, x)[k]) for k in range(1, 8))
    H = lh.hessian(y, x)
    start = time.perf_counter()
    whole = np.asarray(H)
    full = time.perf_counter() - start
    peak = peak_memory()
    drift = float(np.abs(whole.sum(axis=2)).max() / np.abs(whole).max())
    print(json.dumps({
        "record": record, "linearize": linearize, "rows": rows, "first": linearize + rows,
        "full": full, "peak": peak, "drift": drift,
    }))  # fmt: skip


def import_time(options: Any) -> None:
    def fresh(code: str) -> float:
        timed = f"import time; t = time.perf_counter(); {code}; print(time.perf_counter() - t)"
        command = [sys.executable, "-c", timed]
        answer = subprocess.run(command, capture_output=True, text=True, check=True, env=compiled)
        return float(answer.stdout)

    # As installed: with its bytecode.
    compiled = {key: text for key, text in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}

    both = [(fresh("import numpy; import lazyhess"), fresh("import numpy")) for _ in range(21)]
    report("import lazyhess over import numpy", 1e3 * median(a - b for a, b in both), "ms", 60)


TABLE: dict[str, Callable[[Any], None]] = {
    "logistic": full(w.logistic),
    "mlp": full(w.perceptron),
    "lj100": full(lambda: w.lennard_jones(100)),
    "lj100pairs": full(lambda: w.lennard_jones_pairs(100)),
    "lj100rows": three_rows,
    "lj300": full(lambda: w.lennard_jones(300)),
    "lj300pairs": full(lambda: w.lennard_jones_pairs(300)),
    "loop": loop,
    "rosenbrock": rosenbrock,
    "slices": slices,
    "samples": samples,
    "issue787": issue787,
    "import": import_time,
}


CHILDREN = {"ours": child, "jax": jax_child}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(TABLE)}; all by default")
    parser.add_argument("--repeat", type=int, default=7)
    parser.add_argument("--slow", action="store_true", help="JAX on the scalar loop too: minutes")
    parser.add_argument("--json", help="write the rows to this file as well")
    parser.add_argument("--child", choices=CHILDREN, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        CHILDREN[options.child]()
        return 0
    for name in options.names or TABLE:
        TABLE[name](options)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(ROWS, file, indent=1)
    missed = [row["name"] for row in ROWS if row["met"] is False]
    print(f"\n{len(missed)} limits missed" + "".join(f"\n  {name}" for name in missed))
    return 0


if __name__ == "__main__":
    sys.exit(main())
