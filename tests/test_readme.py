"""README's example runs, and costs what its comments say."""

import ast
import re
from pathlib import Path

README = Path(__file__).parent.parent / "README.md"


def example():
    return re.search(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.S)[1]


def test_the_example_costs_what_it_says():
    names, costs = {}, {}
    for statement in ast.parse(example()).body:
        before = names["H"][0][0].cache_info().products if "H" in names else 0
        code = ast.unparse(statement)
        exec(code, names)
        if isinstance(statement, ast.Expr):
            costs[code] = names["H"][0][0].cache_info().products - before
    assert costs == {
        "H[0][0][3:5, :]": 2,
        "H[0][0][:, 3:5]": 0,
        "H[1][0][:]": 1,
        "H[0][0] @ np.ones(30)": 1,
        "np.asarray(H[0][0])": 28,
        "H[0][0].cache_info().products": 0,
    }
    assert names["H"][0][0][3:5, :].shape == (2, 30)


def test_links_lead_somewhere():
    for page in (README, *(README.parent / "docs").glob("*.md")):
        for link in re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8")):
            if not link.startswith("https://"):
                assert (page.parent / link).exists(), f"{page.name}: {link}"
