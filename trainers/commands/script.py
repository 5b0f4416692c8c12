"""A Python script as text and as a tree, with edits that keep all the rest of it as it is. Standard library only."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

_LINE_END = re.compile(rb"\r\n|\r|\n")  # what ends a line for Python; str.splitlines knows more
_END_OF_STATEMENT = re.compile(rb"[ \t\f]*;?[ \t\f]*(#[^\r\n]*)?(?=[\r\n]|$)")
Function = ast.FunctionDef | ast.AsyncFunctionDef
Loop = ast.For | ast.AsyncFor | ast.While
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
LOOPS = (ast.For, ast.AsyncFor, ast.While)


class UnreadableScript(ValueError):
    """Text that is no Python script; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Edit:
    """Text that replaces a part of a script, in bytes of UTF-8; an insertion replaces nothing."""

    start: int
    end: int
    text: str


class Script:
    """A parsed script. Names are resolved by its imports: ``nn.Linear`` is ``torch.nn.Linear``."""

    def __init__(self, source: str) -> None:
        """Parse a script.

        Raises:
            UnreadableScript: if Python cannot parse it.
        """
        self.source = source
        self._bytes = source.encode()
        try:
            self.tree = ast.parse(source)
        except SyntaxError as error:
            raise UnreadableScript(f"{error.msg} in line {error.lineno}") from None
        except ValueError as error:  # null bytes
            raise UnreadableScript(str(error)) from None
        except (RecursionError, MemoryError):
            raise UnreadableScript("expressions nested too deeply") from None
        self._starts = [0, *(end.end() for end in _LINE_END.finditer(self._bytes))]
        self._parents = {child: node for node in ast.walk(self.tree) for child in ast.iter_child_nodes(node)}
        self.imports = dict(_imported_names(self.tree))
        self.functions = {node.name: node for node in ast.walk(self.tree) if isinstance(node, FUNCTIONS)}
        self.names = {node.id for node in ast.walk(self.tree) if isinstance(node, ast.Name)} | {
            node.arg for node in ast.walk(self.tree) if isinstance(node, ast.arg)
        }

    @property
    def newline(self) -> str:
        """The line ending of the script."""
        found = _LINE_END.search(self._bytes)
        return found.group().decode() if found else "\n"

    def text(self, node: ast.expr | ast.stmt) -> str:
        """Return a node on one line, as it is written if it is on one line there."""
        # the positions of what is inside an f-string are those of the file since Python 3.12 only
        if node.lineno == node.end_lineno and not any(isinstance(each, ast.JoinedStr) for each in self.ancestors(node)):
            return self._bytes[self.start(node) : self.end(node)].decode()
        return " ".join(ast.unparse(node).split())

    def qualified(self, node: ast.AST) -> str:
        """Return the dotted name of an expression, resolved by the imports; empty if it has none."""
        if isinstance(node, ast.Name):
            return self.imports.get(node.id, node.id)
        if isinstance(node, ast.Attribute):
            base = self.qualified(node.value)
            return f"{base}.{node.attr}" if base else ""
        return ""

    def imports_package(self, *packages: str) -> bool:
        """Whether the script imports one of these packages."""
        return any(name.partition(".")[0] in packages for name in self.imports.values())

    def parent(self, node: ast.AST) -> ast.AST | None:
        """Return the node that a node is a direct part of."""
        return self._parents.get(node)

    def ancestors(self, node: ast.AST) -> Iterator[ast.AST]:
        """Yield what a node is inside of, from the inside out."""
        found = self._parents.get(node)
        while found is not None:
            yield found
            found = self._parents.get(found)

    def statement(self, node: ast.AST) -> ast.stmt:
        """Return the innermost statement that a node is, or is in."""
        return next(each for each in (node, *self.ancestors(node)) if isinstance(each, ast.stmt))

    def own_nodes(self, node: ast.AST) -> Iterator[ast.AST]:
        """Yield what is inside a node, but for the bodies of functions and classes in it."""
        waiting = [*ast.iter_child_nodes(node)]
        while waiting:
            found = waiting.pop()
            yield found
            if not isinstance(found, (*FUNCTIONS, ast.ClassDef, ast.Lambda)):
                waiting += ast.iter_child_nodes(found)

    # Edits

    def start(self, node: ast.expr | ast.stmt) -> int:
        """Return where a node begins."""
        return self._starts[node.lineno - 1] + node.col_offset

    def end(self, node: ast.expr | ast.stmt) -> int:
        """Return where a node ends."""
        return self._starts[(node.end_lineno or node.lineno) - 1] + (node.end_col_offset or 0)

    def insert_after(self, statement: ast.stmt, line: str) -> Edit:
        """Put a statement after another one, with its indentation; on its line if others share that line."""
        end = self.end(statement)
        first = min(self._siblings(statement), key=self.start)
        before = self._bytes[self._starts[first.lineno - 1] : self.start(first)]
        rest = _END_OF_STATEMENT.match(self._bytes, end)
        if before.strip() or rest is None:
            return Edit(start=end, end=end, text=f"; {line}")
        line_end = _LINE_END.match(self._bytes, rest.end())
        position = line_end.end() if line_end else rest.end()
        text = f"{before.decode()}{line}{self.newline}"
        return Edit(start=position, end=position, text=text if line_end else self.newline + text)

    def _siblings(self, statement: ast.stmt) -> list[ast.stmt]:
        """Return the statements that begin on the line of a statement, in the same block; it is one of them."""
        around = ast.iter_child_nodes(self._parents[statement])
        same = [each for each in around if isinstance(each, ast.stmt) and each.lineno == statement.lineno]
        return [statement, *same]

    def insert_before(self, statement: ast.stmt, line: str) -> Edit:
        """Put a statement at the place of another one that is alone on its line."""
        first = min([statement.lineno, *(each.lineno for each in getattr(statement, "decorator_list", []))])
        start = self._starts[first - 1]
        return Edit(start=start, end=start, text=f"{' ' * statement.col_offset}{line}{self.newline}")

    def wrap(self, node: ast.expr, before: str, after: str) -> list[Edit]:
        """Put text around an expression."""
        start, end = self.start(node), self.end(node)
        return [Edit(start=start, end=start, text=before), Edit(start=end, end=end, text=after)]

    def replace(self, node: ast.expr, text: str) -> Edit:
        """Put text in the place of an expression."""
        return Edit(start=self.start(node), end=self.end(node), text=text)

    @property
    def size(self) -> int:
        """Bytes of the script in UTF-8."""
        return len(self._bytes)

    def line_of(self, edit: Edit) -> int:
        """Return the line that an edit is in, before it is made."""
        return sum(start <= edit.start for start in self._starts)

    def apply(self, edits: list[Edit]) -> str:
        """Return the script with edits; those at one place stand in the order they are given."""
        parts, position = [], 0
        for edit in sorted(edits, key=lambda each: each.start):
            parts += [self._bytes[position : edit.start], edit.text.encode()]
            position = edit.end
        return b"".join([*parts, self._bytes[position:]]).decode()


def _imported_names(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Yield the names that imports bind, with what they are of."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield (alias.asname, alias.name) if alias.asname else (alias.name.partition(".")[0],) * 2
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                yield alias.asname or alias.name, f"{'.' * node.level}{node.module or ''}.{alias.name}"
