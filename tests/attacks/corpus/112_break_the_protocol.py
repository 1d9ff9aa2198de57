"""Speak to the checker directly, against all rules.

The student's process holds the socket, the codec and the numbers of all objects, so it can say
anything. Each submission breaks the rules in another way while `descend` is being tested.
"""

import json

NUMBER = "112"
WANTS = "secrets"
STOCK = "succeeds: no grade for the student (nbgrader 0.9.6)"
BASE = "reference"
SCORES = {"test_standardize": 2, "test_softmax": 2, "test_large_logits": 2, "test_momentum": 2}
WITH_PEER = """
import gc, os, struct
from coursekit.grading.split.remote import Peer

[peer] = [one for one in gc.get_objects() if isinstance(one, Peer)]
wire = peer.wire


def ask(*request):
    try:
        return repr(peer.request(*request))
    except Exception as error:
        return repr(error)


def frame(kind, data=b""):
    wire.connection.sendall(struct.pack("<BI", kind, len(data)) + data)


def message(value, forget=(), change=()):
    from coursekit.grading.split.codec import Writer

    writer = Writer(peer.limits, peer)
    for numbers in (forget, change):
        writer.size(len(numbers))
        for number in numbers:
            writer.size(number)
            if numbers is change:
                writer.contents({"canary": 1, "asked": steps_wanted})
    writer.value(value)
    return bytes(writer.data)


def descend(valley, start, optimizer, steps):
    global steps_wanted
    steps_wanted, loot = steps, []
    number = peer.number(valley)
"""
SAY = {
    "private": """
    for name in ("__class__", "__dict__", "_x", "__init__", "slope.__globals__", "\\uff3f_class__",
                 "__globals__", "__reduce__", "__getattribute__", "", "a b", "class", "x" * 10**5):
        loot += [ask("object", number, "get", name), ask("object", number, "set", name, 1)]
        loot += [ask("object", number, "special", name), ask("object", number, name)]
    """,
    "methods": """
    method = peer.number(valley.slope)
    for name in ("__globals__", "__func__", "__self__", "__code__", "__call__", "func_globals"):
        loot += [ask("object", method, "get", name), ask("object", method, "special", name)]
    """,
    "numbers": 'loot += [ask("object", n, "get", "slope") for n in range(1000)]',
    "negative": 'loot += [ask("object", n, "get", "slope") for n in (-1, True, 2**64, 0.5, "0")]',
    "run": """loot.append(ask("run", "print(canary)"))""",
    "names": """loot.append(ask("names", ("canary", "check", "COURSE_SECRET")))""",
    "inside": """loot.append(ask("inside", "def f(): return canary", "f", ()))""",
    "unknown": """loot.append(ask("object", number, "eval", "canary"))""",
    "no words": """loot.append(ask("object"))""",
    "kind": "frame(7, b'x')",
    "empty": "frame(0)",
    "early answer": "frame(1, message([start] * steps))",
    "many answers": """
    for _ in range(1000):
        frame(1, message(None))
    """,
    "early error": "frame(2, message(ValueError('mine')))",
    "error of no kind": "frame(2, message(('error', 'SystemExit', (), '')))",
    "garbage": "frame(0, os.urandom(10_000))",
    "half a header": "wire.connection.sendall(b'\\\\0'); wire.connection.close()",
    "half a message": "wire.connection.sendall(struct.pack('<BI', 1, 1000) + b'x'); os._exit(0)",
    "huge": "wire.connection.sendall(struct.pack('<BI', 1, 2**32 - 1))",
    "forget all": "frame(1, message(None, forget=range(peer.count)))",
    "forget twice": "frame(1, message(None, forget=[number, number]))",
    "change what is not mine": "frame(1, message(None, change=[number]))",
    "change everything": "frame(1, message(None, change=list(range(peer.count))))",
    "change what is not there": "frame(1, message(None, change=[2**31]))",
    "library": """
    peer.describe = lambda value: ("library", "os", "system")
    loot.append(ask("object", number, "set", "bottom", print))
    """,
    "given": """
    peer.describe = lambda value: ("given", "Valley")
    loot.append(ask("object", number, "set", "bottom", print))
    """,
    "able": """
    for able in (-1, 2**63, 2**4000, "1", None):
        peer.describe = lambda value: ("object", "x" * 100, "y", able)
        loot.append(ask("object", number, "set", "bottom", print))
    """,
    "kinds": """
    for n in range(5000):
        peer.describe = lambda value: ("object", f"kind{n}", "", 2**15 - 1)
        valley.bottom = lambda: 1
    """,
    "classes": """
    peer.describe = lambda value: ("object", "ndarray", "float64", 2**30 - 1)
    valley.bottom = valley.curvature = print
    loot.append(valley.slope(start))
    """,
    "exceptions": """
    for name in ("SystemExit", "KeyboardInterrupt", "GeneratorExit", "Mistake", "TimeIsUpError",
                 "LostError", "eval", "__import__", "Exception.__subclasses__", "object"):
        peer.describe = lambda value: ("error", name, ("x",), "text", "where", {})
        loot.append(ask("object", number, "set", "bottom", ValueError()))
    """,
    "fill the checker": """
    for n in range(200):
        setattr(valley, f"hoard{n}", np.ones(10**6))
    """,
    "multiply": """
    valley.bottom = np.zeros((30_000, 1))
    valley.slope(np.zeros((1, 30_000)))
    """,
    "circles": """
    valley.bottom, valley.curvature, valley.circle = valley, valley.slope, [valley]
    valley.circle.append(valley.circle)
    loot += [ask("object", number, "deepcopy"), ask("object", number, "copy")]
    optimizer.lr = optimizer
    optimizer.step(valley, optimizer.step)
    """,
    "threads": """
    import threading

    def race():
        while True:
            try:
                frame(0, message(("object", (number, "get", "bottom"), 0.0)))
            except Exception:
                pass

    for _ in range(4):
        threading.Thread(target=race, daemon=True).start()
    while True:
        loot.append(valley.bottom)
    """,
    "closed": "wire.connection.shutdown(2)",
}
END = "\n    raise ValueError(repr(loot)[:9000])\n"


def submissions(work):
    notebooks = {}
    for name, body in SAY.items():
        notebook = json.loads(json.dumps(work))
        cell = next(one for one in notebook["cells"] if one["id"] == "momentum")
        momentum = cell["source"].partition("def descend")[0]
        lines = body if body.startswith("\n") else f"    {body}"
        cell["source"] = momentum + WITH_PEER + lines.replace("\\\\", "\\") + END
        notebooks[f"mallory {name}"] = json.dumps(notebook)
    return notebooks
