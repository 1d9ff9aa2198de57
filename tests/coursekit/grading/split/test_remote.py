"""Two processes work together as if they were one, and the strict one gives nothing away."""

import copy
import dataclasses
import functools
import itertools
import math
import operator
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from coursekit.grading.split.codec import CodecError
from coursekit.grading.split.remote import Remote
from coursekit.grading.split.wire import LostError
from largemodels import check


def of_a_test(kind):
    """A class as the release or a test cell defines it."""
    kind.__module__ = "__main__"
    return kind


# The student's functions, called by a test.


def test_functions_take_and_give_plain_data(beside):
    student = beside("def f(x, *rest, k=1): return {'x': x, 'rest': rest, 'k': k}")
    assert student["f"](2, 3, k=[4]) == {"x": 2, "rest": (3,), "k": [4]}


def test_a_function_has_its_name(beside):
    student = beside("def relu(x): return x\nclass Adam: pass")
    assert student["relu"].__name__ == "relu"
    assert student["Adam"].__name__ == "Adam"
    assert type(student["relu"]).__name__ == "function"
    assert type(student["Adam"]()).__name__ == "Adam"


def test_errors_come_as_themselves_with_the_place_they_happened(beside):
    student = beside(
        "class Adam:\n"
        "    def step(self): raise NotImplementedError()\n"
        "def find(d): return d['no']\n"
        "def divide(): 1 / 0\n"
        "def axis():\n"
        "    import numpy as np\n"
        "    np.ones(2).sum(axis=5)\n"
        "class Odd(ValueError): pass\n"
        "def odd(): raise Odd('odd')\n"
        "def leave(): raise SystemExit('bye')\n"
        "def file(): open('/no/such/file')"
    )
    with pytest.raises(NotImplementedError) as caught:
        student["Adam"]().step()
    assert caught.value.student_function == "Adam.step"
    assert "in step" in caught.value.student_trace
    with pytest.raises(KeyError, match=r"^'no'$"):
        student["find"]({})
    with pytest.raises(ZeroDivisionError, match="division by zero"):
        student["divide"]()
    with pytest.raises(ValueError, match="axis 5 is out of bounds") as caught:
        student["axis"]()
    assert type(caught.value).__name__ == "AxisError"
    with pytest.raises(ValueError, match="odd") as caught:
        student["odd"]()
    assert type(caught.value).__name__ == "Odd"
    with pytest.raises(SystemExit, match="bye"):
        student["leave"]()
    with pytest.raises(FileNotFoundError, match="No such file"):
        student["file"]()


def test_a_stub_is_called_by_its_name(beside):
    student = beside("class Adam:\n    def step(self): raise NotImplementedError()")
    with pytest.raises(check.Mistake, match=r"^Adam.step is not written yet"), check.task("Adam"):
        student["Adam"]().step()


def test_a_warning_from_the_student_costs_nothing(beside, capfd):
    student = beside("import sys, warnings\ndef f(): warnings.warn('w'); sys.stderr.write('e')")
    assert student["f"]() is None
    assert capfd.readouterr() == ("", "")


# One memory.


def test_in_place_damage_is_seen(beside):
    student = beside(
        "import numpy as np\ndef relu(x): return np.maximum(x, 0, out=x)\ndef fine(x): return x + 1"
    )
    x = np.array([-1.0, 2.0])
    with check.unchanged(x=x):
        student["fine"](x)
    with pytest.raises(check.Mistake, match="changed its input"), check.unchanged(x=x):
        student["relu"](x)
    assert x.tolist() == [0, 2]


def test_what_comes_back_is_what_went_in(beside):
    student = beside("def same(x): return x\ndef both(x): return {'a': x, 'b': [x]}")
    for value in (np.zeros(2), [1], {"a": 1}, {1}, SimpleNamespace(a=1), lambda: 0):
        assert student["same"](value) is value
    x = np.zeros(2)
    result = student["both"](x)
    assert result["a"] is result["b"][0] is x


def test_a_result_is_one_object_on_both_sides(beside):
    student = beside("kept = [1]\ndef get(): return kept\ndef total(): return sum(kept)")
    result = student["get"]()
    assert student["get"]() is result
    result.append(5)
    assert student["total"]() == 6
    assert student["kept"] is result


@pytest.mark.parametrize(
    ("value", "change", "expected"),
    [
        ([1, 2], "x[0] = 9; x.append(3)", [9, 2, 3]),
        ({"a": 1}, "x['b'] = 2; del x['a']", {"b": 2}),
        ({1}, "x.add(2)", {1, 2}),
        (np.zeros(2), "x += 1", [1, 1]),
        (np.array([None]), "x[0] = 'a'", ["a"]),
        (SimpleNamespace(a=1), "x.b = [2]; del x.a", SimpleNamespace(b=[2])),
        (torch.zeros(2), "x.add_(1)", [1, 1]),
        ([np.zeros(2)], "x[0] += 1; x.append(x[0])", [[1, 1], [1, 1]]),
    ],
)
def test_what_a_student_changes_has_changed(beside, value, change, expected):
    student = beside(f"def change(x):\n    {change}")
    assert student["change"](value) is None
    found = value.tolist() if hasattr(value, "tolist") else value
    if isinstance(found, list):
        found = [one.tolist() if isinstance(one, np.ndarray) else one for one in found]
    assert found == expected


def test_a_generator_goes_on_where_the_other_side_left_it(beside):
    student = beside("def draw(rng): return rng.normal(size=3)")
    rng, alone = np.random.default_rng(1), np.random.default_rng(1)
    draws = [student["draw"](rng), rng.normal(size=3), student["draw"](rng)]
    assert np.array_equal(draws, [alone.normal(size=3) for _ in range(3)])


def test_an_object_of_the_student_keeps_what_it_was_given(beside):
    student = beside(
        "class SGD:\n"
        "    def __init__(self, parameters): self.parameters = parameters\n"
        "    def step(self):\n"
        "        for p in self.parameters: p -= 1"
    )
    weights = [np.zeros(2), np.ones(3)]
    optimizer = student["SGD"](weights)
    weights[0][:] = 5
    optimizer.step()
    assert weights[0].tolist() == [4, 4]
    assert weights[1].tolist() == [0, 0, 0]


def test_a_change_before_an_error_is_seen_too(beside):
    student = beside("def f(x):\n    x[0] = 9\n    raise ValueError('late')")
    x = np.zeros(2)
    with pytest.raises(ValueError, match="late"):
        student["f"](x)
    assert x[0] == 9


def test_an_array_that_changes_its_shape_is_another_one(beside):
    student = beside("def f(x):\n    x.shape = (4,)\n    return x")
    x = np.zeros((2, 2))
    result = student["f"](x)
    assert result.shape == (4,)
    assert x.shape == (2, 2)
    assert student["f"](np.zeros((2, 2))).shape == (4,)


def test_neither_side_keeps_what_nobody_holds(beside):
    student = beside("def f(x): return [x, x + 1, lambda: 0]\ndef count(): return 0")
    for number in range(50):
        student["f"](np.full(100, number))
    student["count"]()
    assert len(student.peer.objects) < 20


def test_a_value_that_cannot_cross_back_costs_one_error(beside):
    student = beside(
        "def deep():\n    x = []\n    for _ in range(100): x = [x]\n    return x\n"
        "def grow(x):\n    x.extend(range(100_000))\n"
        "def one(): return 1"
    )
    with pytest.raises(ValueError, match="nested"):
        student["deep"]()
    x = [1]
    with pytest.raises(ValueError, match="objects at once"):
        student["grow"](x)
    assert x == [1]
    assert student["one"]() == 1


# Objects of the student.


def test_objects_stay_there_and_show_what_is_public(beside):
    student = beside(
        "import numpy as np\n"
        "class Layer:\n"
        "    def __init__(self, n): self.weight, self._hidden = np.ones(n), 1\n"
        "    def forward(self, x): return x * self.weight\n"
        "    def __call__(self, x): return self.forward(x)\n"
        "    def __len__(self): return 3\n"
        "    def __getitem__(self, i): return [10, 20, 30][i]\n"
        "    def __str__(self): return 'a layer'"
    )
    layer = student["Layer"](2)
    assert isinstance(layer, Remote)
    assert layer(3.0).tolist() == layer.forward(3.0).tolist() == [3, 3]
    assert (len(layer), layer[1], layer[-1], [*layer], str(layer)) == (
        *(3, 20, 30, [10, 20, 30], "a layer"),
    )
    layer.weight[:] = 2
    assert layer(1.0).tolist() == [2, 2]
    layer.weight = np.zeros(2)
    assert layer(1.0).tolist() == [0, 0]
    for name in ("_hidden", "__dict__", "__class_getitem__", "missing"):
        with pytest.raises(AttributeError):
            getattr(layer, name)
    with pytest.raises(AttributeError):
        layer._hidden = 2
    assert isinstance(layer, student["Layer"])
    assert not isinstance(3, student["Layer"])
    assert copy.deepcopy(layer) is not layer


def test_a_method_is_looked_up_when_it_is_called(beside):
    student = beside(
        "class Layer:\n"
        "    n = 1\n"
        "    def step(self, k=1): return self.n * k\n"
        "    def apply(self, f): return f(2)\n"
        "    shape = property(lambda self: (self.n,))\n"
        "    @staticmethod\n"
        "    def kind(): return 'layer'\n"
        "class Deeper(Layer):\n"
        "    apply = None\n"
        "    def step(self, k=1): return super().step(k) + 1\n"
        "def replace(layer): layer.step = lambda k=1: 'replaced'\n"
        "def call(f): return f(5)"
    )
    layer, deeper = student["Layer"](), student["Deeper"]()
    step = layer.step
    assert (step(), step(3), step(k=4), deeper.step(3)) == (1, 3, 4, 4)
    assert step == layer.step
    assert step.__name__ == "step"
    assert type(step).__name__ == "method"
    assert layer.apply(step) == 2
    assert student["call"](deeper.step) == 6
    assert layer.shape == (1,)
    assert layer.kind() == "layer"
    assert deeper.apply is None
    student["replace"](layer)
    assert layer.step() == step() == "replaced"
    with pytest.raises(AttributeError):
        layer.missing()


def test_what_stays_there_may_change_there(beside):
    student = beside(
        "import numpy as np\n"
        "rows = np.zeros(2, dtype=[('a', 'i4'), ('b', 'f8')])\n"
        "rng = np.random.Generator(np.random.MT19937(0))\n"
        "def change():\n"
        "    rows['a'] += 1\n"
        "    rng.normal()\n"
        "    return 5"
    )
    rows, rng = student["rows"], student["rng"]
    assert (student["change"](), student["change"]()) == (5, 5)
    assert [type(one).__name__ for one in (rows, rng)] == ["ndarray", "Generator"]
    assert rows["a"].tolist() == [2, 2]
    assert isinstance(rng.normal(), float)


def test_a_generator_of_the_student_is_as_lazy_as_it_was(beside):
    student = beside("def count():\n    n = 0\n    while True:\n        yield n\n        n += 1")
    assert [*itertools.islice(student["count"](), 4)] == [0, 1, 2, 3]
    rows = beside("rows = {'a': 1}.values()")["rows"]
    assert [*rows] == [1]


TRICKSTER = """
class Trickster:
    calls = []
    def __eq__(self, other): self.calls.append('eq'); return True
    def __ne__(self, other): return False
    def __lt__(self, other): return True
    __le__ = __gt__ = __ge__ = __lt__
    def __bool__(self): self.calls.append('bool'); return True
    def __float__(self): self.calls.append('float'); return 1.0
    __int__ = __index__ = __float__
    def __array__(self, *a, **k):
        import numpy
        self.calls.append('array'); return numpy.ones(2)
    __array_interface__ = {'data': (0, False), 'typestr': '<f8', 'shape': (2,), 'version': 3}
    __array_priority__ = 1e9
    def __array_ufunc__(self, *a, **k): self.calls.append('ufunc'); return 0.0
    def __array_function__(self, *a, **k): self.calls.append('function'); return True
    def __sub__(self, other): return 0.0
    __rsub__ = __add__ = __radd__ = __mul__ = __rmul__ = __abs__ = __sub__
    def __contains__(self, other): self.calls.append('contains'); return True
    def __hash__(self): return hash(1.0)
    @property
    def __class__(self): return float
trick = Trickster()
"""


def test_no_object_of_a_student_answers_a_question_of_the_checker(beside):
    student = beside(TRICKSTER)
    trick, expected = student["trick"], np.array([1.0, 2.0])
    assert not operator.eq(trick, 1.0)
    assert operator.ne(trick, 1.0)
    assert not isinstance(trick, float)
    for compare in (operator.lt, operator.le, operator.gt, operator.sub, operator.add):
        for pair in ((trick, 1.0), (1.0, trick)):
            with pytest.raises(TypeError):
                compare(*pair)
    for ask in (float, int, abs, np.isnan, math.sqrt, operator.index):
        with pytest.raises(TypeError):
            ask(trick)
    with pytest.raises(TypeError):
        _ = 1.0 in trick
    assert np.asarray(trick).dtype == object
    with pytest.raises(TypeError):
        np.testing.assert_allclose(trick, expected)
    with pytest.raises(TypeError):
        np.allclose(trick, expected)
    assert not np.array_equal(trick, expected)
    assert not (expected == trick).any()
    with pytest.raises(TypeError):
        _ = expected - trick
    with pytest.raises(check.Mistake, match="is a Trickster"):
        check.close(trick, expected)
    with pytest.raises(check.Mistake):
        check.shape(trick, (2,))
    assert {1.0: "right"}.get(trick) is None
    assert student.run("assert Trickster.calls == []") == ""


def test_in_looks_at_the_members_and_not_at_the_student(beside):
    student = beside(
        "class Bag:\n"
        "    def __contains__(self, x): return True\n"
        "    def __iter__(self): return iter([1, 2])\n"
        "bag = Bag()"
    )
    assert 2 in student["bag"]
    assert 3 not in student["bag"]


def test_lies_about_lengths_and_texts_are_errors(beside):
    student = beside(
        "class Lies:\n"
        "    def __len__(self): return 2**80\n"
        "    def __getitem__(self, i): raise IndexError\n"
        "    def __iter__(self): return 3\n"
        "    def __repr__(self): return 'x'\n"
        "lies = Lies()"
    )
    for ask in (len, iter, list):
        with pytest.raises((TypeError, OverflowError)):
            ask(student["lies"])
    assert repr(student["lies"]) == "x"


def test_a_class_of_the_student_is_no_base_class(beside):
    student = beside("class Layer: pass")
    with pytest.raises(TypeError):
        type("Own", (student["Layer"],), {})
    with pytest.raises(TypeError, match="no base"):

        class Own(student["Layer"]):
            pass


# Objects of a test, in the hands of the student.


def test_a_function_of_a_test_is_called_back(beside):
    student = beside("def slope(f, x): return (f(x + 1) - f(x - 1)) / 2\ndef apply(f): return f")
    seen = []
    assert student["slope"](lambda x: seen.append(x) or x * x, 3.0) == 6.0
    assert seen == [4.0, 2.0]
    assert student["apply"](seen.append) == seen.append


def test_calls_nest(beside):
    student = beside("def down(n, f): return 0 if n == 0 else 1 + f(n - 1)")
    down = student["down"]

    def again(n):
        return down(n, again)

    assert again(10) == 10
    with pytest.raises(RecursionError, match="between two processes"):
        again(200)
    assert again(3) == 3


def test_a_module_in_an_object_of_a_test_is_the_students_own(beside):
    student = beside("import numpy\ndef f(p): return p.module is numpy")
    assert student["f"](Parameter())


def test_a_class_of_the_release_is_the_same_there(beside):
    student = beside("class Parameter: pass\ndef f(kind): return kind is Parameter")
    student.peer.given = frozenset({"Parameter"})
    assert student["f"](Parameter)
    gone = beside("def f(kind): return kind()")
    gone.peer.given = frozenset({"Parameter"})
    with pytest.raises(NameError, match="Parameter is not there"):
        gone["f"](Parameter)


def test_a_function_of_a_library_is_the_same_there(beside):
    student = beside(
        "import numpy as np\nis_it = lambda f: f is np.tanh\nname = lambda f: f.__module__"
    )
    assert student["is_it"](np.tanh)
    assert student["name"](functools.reduce) == "_functools"
    assert student["name"](np.linalg.norm) == "numpy.linalg"


def test_an_error_of_a_test_passes_through_as_it_is(beside):
    student = beside(
        "def f(g): return g()\n"
        "def forgive(g):\n"
        "    try: g()\n"
        "    except ValueError as error: return str(error)\n"
    )

    def fail():
        raise check.Mistake("mine")

    with pytest.raises(check.Mistake, match=r"^mine$"):
        student["f"](fail)
    error = ValueError("exactly this one")

    def fail_with():
        raise error

    assert student["forgive"](fail_with) == "exactly this one"
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        student["f"](fail_with)
    assert caught.value is error


@of_a_test
class Parameter:
    def __init__(self):
        self.data, self.grad, self._secret = np.zeros(2), np.ones(2), "the answer"
        self.module, self.steps = np, 0

    def step(self):
        self.steps += 1
        self.data -= self.grad

    def state(self):
        return self.data.copy()

    @property
    def size(self):
        return self.data.size


def test_an_object_of_a_test_is_used_from_afar(beside):
    student = beside(
        "def learn(p):\n"
        "    p.grad[...] = 3\n"
        "    p.step()\n"
        "    p.steps += 10\n"
        "    return p.size, type(p).__name__\n"
    )
    parameter = Parameter()
    assert student["learn"](parameter) == (2, "Parameter")
    assert parameter.data.tolist() == [-3, -3]
    assert parameter.steps == 11


@of_a_test
@dataclasses.dataclass
class Row:
    values: list

    def __getitem__(self, index):
        return self.values[index]

    def __len__(self):
        return len(self.values)

    def __contains__(self, value):
        return value in self.values


def test_it_has_the_special_methods_of_its_class(beside):
    student = beside(
        "def look(row): return [len(row), row[1], 5 in row, list(row), repr(row), row == row]"
    )
    assert student["look"](Row([4, 5])) == [2, 5, True, [4, 5], "Row(values=[4, 5])", True]


@pytest.mark.parametrize(
    "attempt",
    [
        "x._secret",
        "x.__dict__",
        "x.__class__.__mro__[1].__subclasses__()",
        "x.__init__.__globals__",
        "x.module.__loader__.path_of_the_checker",
        "x.step.__globals__",
        "x.step.__func__",
        "x.step.__self__",
        "setattr(x, 'step', lambda: 0)",
        "setattr(x, 'state', 5)",
        "setattr(x, 'size', 5)",
        "setattr(x, '__class__', dict)",
        "setattr(x, '_secret', 1)",
        "x()",
        "x[0]",
        "len(x)",
        "f.__globals__",
        "f.__code__",
        "f.__defaults__",
        "setattr(f, '__code__', (lambda: 0).__code__)",
        "f.anything",
        "f[0]",
        "len(f)",
        "copy.copy(f)",
    ],
)
def test_nothing_else_of_it_is_to_be_had(beside, attempt):
    student = beside(f"import copy\ndef attempt(x, f):\n    return repr({attempt})")
    parameter = Parameter()
    try:
        answer = student["attempt"](parameter, lambda: 0)
    except (AttributeError, TypeError, ValueError):
        pass
    else:  # An attribute of what stands for it over there.
        assert "the answer" not in answer
        assert "numpy" not in answer
    assert parameter.state().tolist() == [0, 0]
    assert (parameter.step.__name__, parameter._secret, parameter.size) == (
        *("step", "the answer", 2),
    )
    assert not student.peer.lost


@pytest.mark.parametrize(
    "value",
    [
        Parameter,
        type("Row", (), {}),
        itertools.count,
        np.random.RandomState(0),
        torch.nn.Linear(1, 1),
    ],
)
def test_what_may_not_cross_says_so(beside, value):
    student = beside("def f(x): return x")
    if value is itertools.count:
        assert student["f"](value) is value  # Libraries are there as well.
        return
    with pytest.raises((CodecError, ValueError)):
        student["f"](value)
    assert student["f"](1) == 1


def test_a_method_that_lies_cannot_be_put_into_an_object_of_a_test(beside):
    student = beside(
        "def cheat(p):\n"
        "    try:\n"
        "        p.state = lambda: 'right'\n"
        "    except AttributeError as error:\n"
        "        return str(error)"
    )
    parameter = Parameter()
    assert "cannot be replaced" in student["cheat"](parameter)
    assert parameter.state().tolist() == [0, 0]


# The end of a process.


def test_a_process_that_dies_is_lost_for_good(beside):
    student = beside("import os\ndef f(): os._exit(0)\ndef g(): return 1")
    f, g = student["f"], student["g"]
    for function in (f, g):
        with pytest.raises(LostError, match="died"):
            function()


def test_no_test_forgives_the_loss_of_the_process(beside):
    import contextlib

    student = beside("import os\ndef f(): os._exit(0)")
    f = student["f"]
    with pytest.raises(LostError), contextlib.suppress(Exception):
        f()


def test_a_copied_process_of_the_student_cannot_use_the_connection(beside):
    student = beside(
        "import os\n"
        "def f(g):\n"
        "    pid = os.fork()\n"
        "    if pid == 0:\n"
        "        try: g()\n"
        "        except RuntimeError: os._exit(7)\n"
        "        os._exit(0)\n"
        "    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])\n"
        "def leave():\n"
        "    return os.fork()"
    )
    assert student["f"](lambda: 1) == 7
    assert student["leave"]() > 0
    assert student["f"](lambda: 1) == 7


def test_a_thread_of_the_student_cannot_use_the_connection(beside):
    student = beside(
        "import threading\n"
        "def f(g):\n"
        "    said = []\n"
        "    def run():\n"
        "        try: g()\n"
        "        except RuntimeError as error: said.append(str(error))\n"
        "    thread = threading.Thread(target=run)\n"
        "    thread.start(); thread.join()\n"
        "    return said"
    )
    assert "main thread" in student["f"](lambda: 1)[0]
