"""The IPython shell that runs a student's cells and keeps their outputs, bounded."""

import ast
import io
import traceback
from types import CodeType
from typing import Any

from IPython.core.displayhook import DisplayHook
from IPython.core.displaypub import DisplayPublisher
from IPython.core.inputtransformer2 import TransformerManager
from IPython.core.interactiveshell import ExecutionInfo, ExecutionResult, InteractiveShell
from traitlets import Type
from traitlets.config import Config

from coursekit.grading.split.failure import without_folders

__all__ = ["Outputs", "Shell", "Stream", "make_shell"]


_STANDARD = TransformerManager()
_TRANSFORMS = len(_STANDARD.cleanup_transforms) + len(_STANDARD.line_transforms)


class Outputs:
    """Outputs of cells in the form of a notebook.

    Args:
        cell_bytes: What one cell may print; the rest is dropped and counted.
        notebook_bytes: What all cells may print.
    """

    def __init__(self, cell_bytes: int, notebook_bytes: int) -> None:
        self._cell, self._left = cell_bytes, notebook_bytes
        self.recording = False
        self.begin()

    def begin(self) -> None:
        """Begin a new cell."""
        self.list: list[dict[str, Any]] = []
        self._room, self._dropped = min(self._cell, self._left), 0

    def end(self) -> list[dict[str, Any]]:
        """The outputs since `begin`."""
        if self._dropped:
            text = f"\n[{self._dropped} more characters are not shown]\n"
            self.list.append({"output_type": "stream", "name": "stderr", "text": text})
        return self.list

    def stream(self, name: str, text: str) -> None:
        """Add what was printed."""
        if not self.recording or not text:
            return
        kept = text[: max(self._room, 0)]
        self._take(len(kept))
        self._dropped += len(text) - len(kept)
        if not kept:
            return
        last = self.list[-1] if self.list else {}
        if last.get("output_type") == "stream" and last["name"] == name:
            last["text"] += kept
        else:
            self.list.append({"output_type": "stream", "name": name, "text": kept})

    def add(self, output: dict[str, Any], size: int) -> None:
        """Add another output, unless it is too large."""
        if not self.recording:
            return
        if size > self._room:
            self._dropped += size
            return
        self._take(size)
        self.list.append(output)

    def _take(self, size: int) -> None:
        self._room -= size
        self._left -= size


class Stream(io.TextIOBase):
    """Standard output or error of the student's code."""

    encoding = "utf-8"

    def __init__(self, outputs: Outputs, name: str) -> None:
        self._outputs, self._name = outputs, name

    def write(self, text: str) -> int:
        """Keep a text."""
        self._outputs.stream(self._name, str(text))
        return len(text)

    def writable(self) -> bool:
        """Say that it can be written to."""
        return True


class _DisplayHook(DisplayHook):
    """Keeps the value of the last expression of a cell."""

    def write_output_prompt(self) -> None:
        """Print nothing."""

    def finish_displayhook(self) -> None:
        """Print nothing."""
        self._is_active = False

    def log_output(self, format_dict: Any) -> None:
        """Keep no history."""

    def write_format_data(self, format_dict: Any, md_dict: Any = None) -> None:
        """Keep the value as an output."""
        assert isinstance(self.shell, Shell)
        self.shell.keep("execute_result", format_dict)


class _DisplayPublisher(DisplayPublisher):
    """Keeps what `display` shows."""

    def publish(self, data: Any, metadata: Any = None, source: Any = None, **options: Any) -> None:
        """Keep an output."""
        assert isinstance(self.shell, Shell)
        self.shell.keep("display_data", data)

    def clear_output(self, wait: bool = False) -> None:
        """Keep everything: a grader reads the whole output."""


class Shell(InteractiveShell):
    """IPython without screen, history and files."""

    displayhook_class = Type(_DisplayHook)
    display_pub_class = Type(_DisplayPublisher)
    outputs = Outputs(0, 0)

    def enable_gui(self, gui: str | None = None) -> None:
        """Do nothing: there is no screen."""

    def keep(self, kind: str, data: Any) -> None:
        """Keep an output with plain texts by their MIME type."""
        texts = {str(key): value for key, value in dict(data).items() if type(value) is str}
        output: dict[str, Any] = {"output_type": kind, "data": texts, "metadata": {}}
        if kind == "execute_result":
            output["execution_count"] = None
        self.outputs.add(output, sum(map(len, texts.values())))

    def run_cell(  # type: ignore[override]  # Others are handed on.
        self, raw_cell: str, store_history: bool = False, **options: Any
    ) -> ExecutionResult:
        """Run a cell; plain Python, as most are, without what IPython does for all the others."""
        codes = None if options else self._plain(raw_cell)
        if codes is None:
            return super().run_cell(raw_cell, store_history, **options)
        result = ExecutionResult(ExecutionInfo(raw_cell, store_history, False, True, None))
        if store_history:
            self.execution_count += 1
            assert self.history_manager
            # Its last line tells whether a value is to be shown.
            self.history_manager.input_hist_parsed.append(raw_cell)
        self.events.trigger("pre_execute")
        self.events.trigger("pre_run_cell", result.info)
        self.displayhook.exec_result = result
        try:
            with self.builtin_trap, self.display_trap:
                for code in codes:
                    exec(code, self.user_ns)
        except BaseException as error:
            result.error_in_exec = error
            self.showtraceback()
        self.displayhook.exec_result = None
        self.events.trigger("post_execute")
        self.events.trigger("post_run_cell", result)
        return result

    def _plain(self, cell: str) -> list[CodeType] | None:
        """The code of a cell; nothing where it is more than Python, or somebody wants to see it."""
        manager = self.input_transformer_manager
        custom = len(manager.cleanup_transforms) + len(manager.line_transforms) - _TRANSFORMS
        if custom or self.input_transformers_post or self.ast_transformers or "__future__" in cell:
            return None
        cell = cell if cell.endswith("\n") else cell + "\n"
        flags, name = self.compile.flags, self.compile.cache(cell, self.execution_count)
        try:
            tree = compile(cell, name, "exec", flags | ast.PyCF_ONLY_AST, dont_inherit=True)
            last = [tree.body.pop()] if tree.body and isinstance(tree.body[-1], ast.Expr) else []
            return [
                compile(tree, name, "exec", flags, dont_inherit=True),
                compile(ast.Interactive(last), name, "single", flags, dont_inherit=True),
            ]
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None

    def _format_exception_for_storage(self, *arguments: Any, **options: Any) -> dict[str, Any]:
        """Keep no history of errors: to write it takes longer than most cells."""
        return {}

    def showtraceback(self, exc_tuple: Any = None, *arguments: Any, **options: Any) -> None:
        """Keep an error, in Python's own form: fast, and without colours."""
        kind, error, trace = self._get_exc_info(exc_tuple)
        self._keep_error(kind, error, trace)

    def showsyntaxerror(self, *arguments: Any, **options: Any) -> None:
        """Keep an error of syntax."""
        self._keep_error(*self._get_exc_info())

    def _keep_error(self, kind: Any, error: Any, trace: Any) -> None:
        frames = [
            entry
            for entry in traceback.extract_tb(trace)
            if "/IPython/" not in entry.filename and "coursekit/grading" not in entry.filename
        ]
        without_folders(frames)
        lines = [
            "Traceback (most recent call last):\n",
            *traceback.format_list(frames[-20:]),
            *traceback.format_exception_only(kind, error),
        ]
        try:
            text = str(error)
        except Exception:
            text = ""
        # The message of an error is wanted even where nothing else has room.
        output = {
            "output_type": "error",
            "ename": kind.__name__,
            "evalue": text[:10_000],
            "traceback": "".join(lines)[-20_000:].splitlines(),
        }
        self.outputs.add(output, 0)


def make_shell() -> Shell:
    """Make the one shell of this process."""
    configuration = Config()
    configuration.HistoryManager.enabled = False  # No file, and no thread that writes it.
    configuration.InteractiveShell.colors = "nocolor"
    configuration.InteractiveShell.cache_size = 0
    configuration.InteractiveShell.history_length = 0
    return Shell.instance(config=configuration)
