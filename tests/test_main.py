"""The demonstration on real data, and what importing the library brings along."""

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import lazyhess as lh
from lazyhess import __main__ as demo
from lazyhess._demo import crystal, logit
from lazyhess._frontends import _FRAMEWORKS

ROOT = Path(lh.__file__).parent.parent


def test_the_data_are_the_published_ones():
    regressors, improved = logit.load()
    assert regressors.shape == (32, 4)
    assert improved.shape == (32,)
    assert improved.sum() == 11
    assert regressors[:, 2].sum() == 14
    np.testing.assert_array_equal(regressors[[0, -1]], [[2.66, 20, 0, 1], [2.39, 19, 1, 1]])
    np.testing.assert_allclose(regressors.mean(0), [3.1171875, 21.9375, 0.4375, 1], rtol=1e-12)


def test_newton_reproduces_the_published_table():
    found = logit.fit(*logit.load())
    assert found.agrees()
    np.testing.assert_allclose(found.coefficients, [2.826, 0.095, 2.379, -13.021], atol=5e-4)
    np.testing.assert_allclose(found.errors, [1.263, 0.142, 1.065, 4.931], atol=5e-4)
    assert [step.products for step in found.steps] == [4] * len(found.steps)
    assert len(found.steps) < 10
    assert found.steps[-1].gradient < 1e-10
    assert found.steps[0].log_likelihood == pytest.approx(-32 * np.log(2))


@pytest.mark.parametrize("name", ["coefficients", "errors"])
def test_a_wrong_digit_is_seen(name):
    found = logit.fit(*logit.load())
    wrong = getattr(found, name).copy()
    wrong[1] += 1e-3
    assert not replace(found, **{name: wrong}).agrees()


def test_two_atoms_at_the_minimum():
    x = lh.variable(np.array([0, 0, 0, 2 ** (1 / 6), 0, 0]))
    energy = crystal.energy(x, *crystal.pairs(2))
    assert energy.value == pytest.approx(-1)
    np.testing.assert_allclose(lh.gradient(energy, x), 0, atol=1e-13)
    # Only stretching costs energy, and the spring constant is 72 / 2**(1/3).
    stretch = np.zeros((6, 6))
    stretch[np.ix_([0, 3], [0, 3])] = 72 / 2 ** (1 / 3) * np.array([[1, -1], [-1, 1]])
    np.testing.assert_allclose(lh.hessian(energy, x), stretch, atol=1e-12)


def test_the_lattice_is_face_centred_cubic():
    places = crystal.lattice(4)
    assert places.shape == (64, 3)
    first, second = crystal.pairs(64)
    assert len(first) == 64 * 63 // 2
    apart = np.linalg.norm(places[first] - places[second], axis=1) / 1.0901730
    shells, counts = np.unique(apart.round(6), return_counts=True)
    np.testing.assert_allclose(shells[:3] ** 2, [1, 2, 3], rtol=1e-5)
    assert counts[0] == 3 * 4 * 4 * 3 + 3 * 4 * 3 * 3  # edges of the cells, and one face diagonal


def test_it_prints_what_it_counts(capsys):
    assert demo.main(["--cells", "3"]) == 0
    text = capsys.readouterr().out
    asked = re.findall(r"^   (\S.*?) {2,}(\d+) +[\d.]+   \S", text, re.M)
    assert [(code, int(products)) for code, products in asked] == [
        ("H[:3]", 3),
        ("H[:, :3]", 0),
        ("H[:, 7]", 1),
        ("H[7, ::-100]", 0),
        ("H[::-1, 40:43]", 3),
        ("H @ v", 1),
        ("np.asarray(H)", 81 - 3 - 1 - 3),
        ("np.asarray(H)", 0),
    ]
    assert "-13.021 (4.931)  -13.021 (4.931)" in text
    assert "All checks held" in text


def test_the_exit_status_tells_of_a_failed_check(monkeypatch, capsys):
    monkeypatch.setitem(logit.PUBLISHED, "GPA", (2.827, 1.263))
    assert demo.main(["--cells", "2"]) == 1
    assert "SOME CHECKS DID NOT HOLD" in capsys.readouterr().out


def test_arguments(capsys):
    with pytest.raises(SystemExit) as stopped:
        demo.main(["--help"])
    assert stopped.value.code == 0
    with pytest.raises(SystemExit) as stopped:
        demo.main(["--cells", "1"])
    assert stopped.value.code == 2
    assert "at least 2, got 1" in capsys.readouterr().err


FRAMEWORKS = {*_FRAMEWORKS, "scipy", "matplotlib", "dask", "tqdm"}


def brought_along(path: Path | None = None, before: str = "pass") -> set[str]:
    """Top-level modules, of the standard library excepted, that importing lazyhess adds."""
    code = (
        f"import sys; sys.path[:0] = {[str(p) for p in (path, ROOT) if p]}\n"
        "import numpy; known = set(sys.modules)\n"
        f"{before}; import lazyhess\n"
        "print(*{name.partition('.')[0] for name in set(sys.modules) - known})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split()) - sys.stdlib_module_names


def test_importing_lazyhess_imports_no_framework():
    found = brought_along()
    assert not found & FRAMEWORKS
    assert found <= {"lazyhess", "cachetools", "numpy"}


def test_a_framework_that_is_imported_is_seen(tmp_path):
    for name in FRAMEWORKS:
        (tmp_path / f"{name}.py").touch()
    for name in FRAMEWORKS:
        assert name in brought_along(tmp_path, f"import {name}")
