"""Tables: shown in the terminal, and written to `results/` as Markdown."""

import os
import platform
import subprocess
from datetime import date
from importlib.metadata import version
from pathlib import Path

from rich.console import Console
from rich.table import Table

RESULTS = Path(__file__).parent / "results"
PACKAGES = ("largemodels", "numpy", "torch")


class Report:
    """Collects what is measured: `table` shows it at once, `write` records everything."""

    def __init__(self, threads: int) -> None:
        self.console = Console()
        self.parts = [
            "\n".join(f"* {name}: {value}" for name, value in describe_machine(threads).items())
        ]
        self.console.print(self.parts[0])

    def table(self, title: str, columns: list[str], rows: list[list[str]], note: str) -> None:
        """Show a table and keep it."""
        # Other work on the machine spoils times; a reader of the record must see it.
        note = f"{note} Load average of the machine afterwards: {os.getloadavg()[0]:.1f}."
        table = Table(title=title, caption=note, title_justify="left", caption_justify="left")
        for i, column in enumerate(columns):
            table.add_column(column, justify="right" if i else "left")
        for row in rows:
            table.add_row(*row)
        self.console.print(table)
        lines = [columns, ["---", *["---:"] * (len(columns) - 1)], *rows]
        markdown = "\n".join("| " + " | ".join(line) + " |" for line in lines)
        self.parts.append(f"## {title}\n\n{markdown}\n\n{note}")

    def write(self, name: str) -> None:
        """Write everything that was shown to `results/<date>-<name>.md`."""
        RESULTS.mkdir(exist_ok=True)
        path = RESULTS / f"{date.today()}-{name}.md"
        title = f"# {name.replace('-', ' ').capitalize()}, {date.today()}"
        path.write_text("\n\n".join([title, *self.parts]) + "\n", encoding="utf-8")
        self.console.print(f"Recorded in {path}")


def describe_machine(threads: int) -> dict[str, str]:
    """Return what a reader must know to judge the numbers."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "processor": f"{processor()}, {os.cpu_count()} cores, {memory:.0f} GiB of memory",
        "threads": str(threads),
        "system": f"{platform.system()} {platform.release()}, Python {platform.python_version()}",
        "packages": ", ".join(f"{package} {version(package)}" for package in PACKAGES),
        "commit": commit(),
    }


def processor() -> str:
    """Return the name of the processor; Linux has it in a file, other systems tell Python."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def commit() -> str:
    """Return the commit that is measured, and whether files differ from it."""
    command = ["git", "describe", "--always", "--dirty=, with changes"]
    result = subprocess.run(
        command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False
    )
    return result.stdout.strip() or "unknown"
