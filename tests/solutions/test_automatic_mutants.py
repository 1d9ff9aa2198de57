"""Every small change to a right answer loses points, or is listed here as no mistake at all.

The named mutants of an exercise are the slips that people make. This run adds the rest: it changes
one operator, number, argument or statement of the reference at a time, and runs the checks of that
cell, hidden tests included. It runs in this process; `test_exercises.py` grades with nbgrader.
"""

import ast
import copy

LAST_AXIS = "the last axis of a matrix is axis 1"
# Changes that leave the answer right, as `exercise/cell: line: change`, with the reason.
HARMLESS = {
    "01_backprop/numeric_gradient: gradient = np.zeros_like(x): np.zeros_like → ones_like": (
        "every entry is overwritten"
    ),
    "01_backprop/relu: return np.maximum(x, 0): np.maximum(x, 0) → swapped": (
        "the order of the two makes no difference"
    ),
    "01_backprop/softmax: shifted = logits - logits.max(axis=1, keepdims=True): 1 → -1": LAST_AXIS,
    "01_backprop/softmax: return exponentials / exponentials.sum(axis=1, keepdims=True): 1 → -1": (
        LAST_AXIS
    ),
    "01_backprop/cross_entropy: shifted = logits - logits.max(axis=1, keepdims=True): 1 → -1": (
        LAST_AXIS
    ),
    "01_backprop/cross_entropy: log_sum = np.log(np.exp(shifted).sum(axis=1)): 1 → -1": LAST_AXIS,
}

OPERATORS = {
    ast.Add: [ast.Sub],
    ast.Sub: [ast.Add],
    ast.Mult: [ast.Div, ast.Add],
    ast.Div: [ast.Mult, ast.Sub],
    ast.Gt: [ast.GtE, ast.Lt],
}
NAMES = {
    "maximum": "minimum",
    "max": "min",
    "sum": "mean",
    "mean": "sum",
    "exp": "expm1",
    "log": "log2",
    "zeros_like": "ones_like",
    "copy": "view",
}


def changes(source):
    """Yield a name and the changed source for every change we know."""
    tree = ast.parse(source)
    lines = [line.split("  #")[0].strip() for line in source.splitlines()]
    for position, node in enumerate(ast.walk(tree)):
        for name, edit in edits(node):
            mutant = copy.deepcopy(tree)
            target = next(n for i, n in enumerate(ast.walk(mutant)) if i == position)
            edit(target)
            ast.fix_missing_locations(mutant)
            if isinstance(node, ast.FunctionDef | ast.For):
                yield name, ast.unparse(mutant)
            else:
                line = lines[node.lineno - 1]
                yield f"{line}: {ast.unparse(node)} → {name}", ast.unparse(mutant)


def edits(node):
    """Yield what can be changed at one node: a name for it, and a function that does it."""
    if isinstance(node, ast.BinOp | ast.AugAssign):
        for operator in OPERATORS.get(type(node.op), []):
            yield operator.__name__, lambda n, o=operator: setattr(n, "op", o())
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Sub | ast.Div | ast.MatMult):
        yield "swapped", lambda n: vars(n).update(left=n.right, right=n.left)
    if isinstance(node, ast.Compare):
        for operator in OPERATORS.get(type(node.ops[0]), []):
            yield operator.__name__, lambda n, o=operator: setattr(n, "ops", [o()])
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        for value in (0, 1, 2, -1):
            if value != node.value:
                yield str(value), lambda n, v=value: setattr(n, "value", v)
    if isinstance(node, ast.Constant) and node.value is True:
        yield "False", lambda n: setattr(n, "value", False)
    if isinstance(node, ast.Attribute) and node.attr in NAMES:
        yield NAMES[node.attr], lambda n: setattr(n, "attr", NAMES[n.attr])
    if isinstance(node, ast.Attribute) and node.attr == "T":
        # The transpose goes: `a.T` becomes `a.real`, which is `a` for real numbers.
        yield "no .T", lambda n: setattr(n, "attr", "real")
    if isinstance(node, ast.Call):
        for i in range(len(node.keywords)):
            yield f"no {node.keywords[i].arg}", lambda n, i=i: n.keywords.pop(i)
        if len(node.args) > 1:
            yield "swapped", lambda n: n.args.insert(0, n.args.pop(1))
    if isinstance(node, ast.FunctionDef | ast.For):
        for i, statement in enumerate(node.body):
            if not is_docstring(statement):
                name = f"without {ast.unparse(statement)}"
                yield name, lambda n, i=i: n.body.__setitem__(i, ast.Pass())


def is_docstring(statement):
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def survivors_of(exercise, cell, names, run_cell, checks):
    """Return every change to a cell that no check notices, and the number of changes."""
    survivors, count = [], 0
    for change, source in changes(cell.answer):
        changed = dict(names)
        count += 1
        if not run_cell(source, changed) and not any(run_cell(check, changed) for check in checks):
            survivors.append(f"{exercise.name}/{cell.grade_id}: {change}")
    return survivors, count


def test_every_change_to_an_answer_is_noticed(exercise, namespace, run_cell):
    names, found = namespace(exercise), []
    for cell in exercise.solution_cells:
        checks = [check.source for check in exercise.checks_of(cell)]
        survivors, count = survivors_of(exercise, cell, names, run_cell, checks)
        assert count >= 3, f"{cell.grade_id}: too few changes: does this run see the answer?"
        found += survivors
    unexplained = [one for one in found if one not in HARMLESS]
    assert not unexplained, "no check notices:\n" + "\n".join(unexplained)
    listed = {one for one in HARMLESS if one.startswith(f"{exercise.name}/")}
    assert listed <= set(found), "listed as harmless, but noticed: take it off the list"


def test_the_gate_fails_when_a_check_sees_nothing(backprop, namespace, run_cell):
    cell = backprop.solution_cells[0]
    survivors, count = survivors_of(backprop, cell, namespace(backprop), run_cell, ["pass"])
    assert len(survivors) > count / 2
