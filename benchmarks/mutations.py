"""What a mutation run plants: one small fault at a time in a statement that decides something.

The stdlib's `ast` says where an operator stands, and the source is changed there as text. So a mutant is a diff of one
line that anybody can read, the sample is a seeded choice among all of them, and nothing but Python is needed. mutmut
makes its mutants of a whole file at once, as trampolines beside each other, and has no sample.

Not mutated: texts and what builds them, arguments of logging, annotations, decorators, branches by platform.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import unified_diff
from pathlib import Path

COMPARISONS = {
    ast.Lt: ("<", "<="),
    ast.LtE: ("<=", "<"),
    ast.Gt: (">", ">="),
    ast.GtE: (">=", ">"),
    ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="),
    ast.Is: ("is", "is not"),
    ast.IsNot: ("is not", "is"),
    ast.In: ("in", "not in"),
    ast.NotIn: ("not in", "in"),
}
ARITHMETIC = {
    ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"),
    ast.Mult: ("*", "//"),
    ast.FloorDiv: ("//", "*"),
    ast.Div: ("/", "*"),
    ast.Mod: ("%", "+"),
}
CALLS = {"min": "max", "max": "min", "any": "all", "all": "any"}
OPPOSITES = {True: "False", False: "True", None: "True"}
CONSTANT_NAME = re.compile(r"_?[A-Z][A-Z0-9_]+")


@dataclass(frozen=True)
class Mutant:
    """The text of `path` from `start` to `end` (in characters) becomes `text`."""

    path: Path
    line: int
    start: int
    end: int
    text: str

    def source(self) -> str:
        before = self.path.read_text(encoding="utf-8")
        return before[: self.start] + self.text + before[self.end :]

    def fault(self) -> str:
        """Its lines without their place: as they are, and as they become."""
        whole = self.path.read_text(encoding="utf-8")
        first, behind = whole.rfind("\n", 0, self.start) + 1, whole.find("\n", self.end) % (len(whole) + 1)
        return f"{whole[first:behind]}\n{whole[first : self.start]}{self.text}{whole[self.end : behind]}"

    def diff(self) -> str:
        before, after = self.path.read_text(encoding="utf-8").splitlines(), self.source().splitlines()
        lines = list(unified_diff(before, after, n=0, lineterm=""))[3:]
        return "\n".join(lines)


def mutants_of(path: Path) -> list[Mutant]:
    """Every mutant of one module, in the order of its lines."""
    finder = _Finder(path)
    finder.visit(ast.parse(finder.text))
    return sorted(finder.found, key=lambda mutant: (mutant.start, mutant.end, mutant.text))


class _Finder(ast.NodeVisitor):
    def __init__(self, path: Path) -> None:
        self.path = path
        self.text = path.read_text(encoding="utf-8")
        self.found: list[Mutant] = []
        self._lines = self.text.splitlines(keepends=True)
        self._starts = [0]
        for line in self._lines:
            self._starts.append(self._starts[-1] + len(line))

    def visit(self, node: ast.AST) -> None:
        if isinstance(node, ast.JoinedStr | ast.Raise) or _is_logging(node) or self._is_by_platform(node):
            return
        for mutant in self._made_of(node):
            self.found.append(mutant)
        for child in _deciding_children(node):
            self.visit(child)

    def _made_of(self, node: ast.AST) -> Iterator[Mutant]:
        yield from self._of_operator(node)
        yield from self._of_condition(node)
        yield from self._of_value(node)
        yield from self._of_statement(node)

    def _of_operator(self, node: ast.AST) -> Iterator[Mutant]:
        match node:
            case ast.Compare(left=left, ops=[operator], comparators=[right]):
                yield from self._between(left, right, *COMPARISONS[type(operator)])
            case ast.BoolOp(op=operator, values=values):
                words = ("and", "or") if isinstance(operator, ast.And) else ("or", "and")
                for left, right in zip(values, values[1:], strict=False):
                    yield from self._between(left, right, *words)
            case ast.BinOp(left=left, op=operator, right=right) if type(operator) in ARITHMETIC:
                if not _is_text(left) and not _is_text(right):
                    yield from self._between(left, right, *ARITHMETIC[type(operator)])
            case ast.Call(func=ast.Name(id=name) as function) if name in CALLS:
                yield self._replaced(function, CALLS[name])

    def _of_condition(self, node: ast.AST) -> Iterator[Mutant]:
        match node:
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                yield self._replaced(node, self._text(operand))
            case ast.If(test=test) | ast.IfExp(test=test):
                yield from self._negated(test)
            case ast.comprehension(ifs=tests):
                for test in tests:
                    yield from self._negated(test)

    def _of_value(self, node: ast.AST) -> Iterator[Mutant]:
        match node:
            case ast.Constant(value=bool()):
                return
            case ast.Constant(value=int() | float() as value):
                yield self._replaced(node, repr(value + 1))
            case ast.Return(value=ast.Constant(value=True | False | None as value) as constant):
                yield self._replaced(constant, OPPOSITES[value])

    def _of_statement(self, node: ast.AST) -> Iterator[Mutant]:
        match node:
            case ast.Expr(value=ast.Call() | ast.Await()) | ast.AugAssign():
                yield self._replaced(node, "pass")
            case ast.Continue():
                yield self._replaced(node, "break")
            case ast.Break():
                yield self._replaced(node, "continue")
            case ast.Assign() | ast.AnnAssign() if _is_constant_definition(node) and node.value is not None:
                yield from self._tenfold(node.value)

    def _tenfold(self, value: ast.expr) -> Iterator[Mutant]:
        """A named constant is not one more but ten times as much: its consequence is tested, not its last digit."""
        number = ast.walk(value)
        if any(isinstance(part, ast.Constant) and isinstance(part.value, int | float) for part in number):
            yield self._replaced(value, f"({self._text(value)}) * 10")

    def _negated(self, test: ast.expr) -> Iterator[Mutant]:
        """Where a mutant of the condition's own operator says the same, that one is enough."""
        is_own = isinstance(test, ast.Compare) and len(test.ops) == 1
        if not is_own and not (isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not)):
            yield self._replaced(test, f"not ({self._text(test)})")

    def _between(self, left: ast.expr, right: ast.expr, old: str, new: str) -> Iterator[Mutant]:
        start, end = self._span(left)[1], self._span(right)[0]
        pattern = rf"(?<![\w<>=!]){re.escape(old)}(?![\w=])".replace(r"\ ", r"\s+")
        found = re.search(pattern, self.text[start:end])
        if found is not None:
            yield self._mutant(left, start + found.start(), start + found.end(), new)

    def _replaced(self, node: ast.expr | ast.stmt, text: str) -> Mutant:
        return self._mutant(node, *self._span(node), text)

    def _mutant(self, node: ast.expr | ast.stmt, start: int, end: int, text: str) -> Mutant:
        return Mutant(self.path, self.text.count("\n", 0, start) + 1, start, end, text)

    def _text(self, node: ast.expr) -> str:
        start, end = self._span(node)
        return self.text[start:end]

    def _span(self, node: ast.expr | ast.stmt) -> tuple[int, int]:
        assert node.end_lineno is not None and node.end_col_offset is not None
        return self._offset(node.lineno, node.col_offset), self._offset(node.end_lineno, node.end_col_offset)

    def _offset(self, line: int, byte: int) -> int:
        """`ast` counts columns in bytes."""
        return self._starts[line - 1] + len(self._lines[line - 1].encode()[:byte].decode())

    def _is_by_platform(self, node: ast.AST) -> bool:
        return isinstance(node, ast.If | ast.IfExp) and "platform" in self._text(node.test)


def _deciding_children(node: ast.AST) -> Iterator[ast.AST]:
    """Constants of a `Final` name are mutated as a whole, annotations and decorators not at all."""
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list", "type_params"):
            continue
        if name == "value" and _is_constant_definition(node):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield child


def _is_constant_definition(node: ast.AST) -> bool:
    match node:
        case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
            return CONSTANT_NAME.fullmatch(name) is not None
    return False


def _is_logging(node: ast.AST) -> bool:
    match node:
        case ast.Call(func=ast.Attribute(value=ast.Name(id="_log" | "_wire"))):
            return True
        case ast.Call(func=ast.Attribute(value=ast.Name(id="self"), attr="_log")):
            return True
        case ast.Expr(value=value):
            return _is_logging(value)
    return False


def _is_text(node: ast.expr) -> bool:
    return isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and isinstance(node.value, str | bytes))
