"""Checkpoints: files from which a training continues exactly where it stopped.

A checkpoint is written under another name first and renamed when it is complete. So the file is
always a whole one, the old or the new, even if the machine stops in the middle of saving.
"""

from __future__ import annotations

import os
import pickle
import random
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

__all__ = ["load_checkpoint", "random_state", "save_checkpoint", "set_random_state"]

FORMAT = "largemodels checkpoint, version 1"


def save_checkpoint(path: str | os.PathLike[str], state: Mapping[str, Any]) -> None:
    """Write a state to a file, so that the file is never half written.

    The state goes to `<path>.partial`, to the disk, and only then under its own name. Whatever
    stops the program, `path` holds the last state that was saved completely.

    Args:
        path: the file; its folder is made if it is missing.
        state: what to save: tensors, numbers, texts, and lists and dictionaries of these, as
            `state_dict()` returns them.

    Raises:
        OSError: if the file cannot be written. What `path` held before is still there.

    Example:
        >>> import tempfile
        >>> model = torch.nn.Linear(2, 1)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_checkpoint(f"{folder}/run.pt", {"model": model.state_dict(), "epoch": 3})
        ...     load_checkpoint(f"{folder}/run.pt")["epoch"]
        3

    Taught in: book/training/training_loop.md
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:
        torch.save({"format": FORMAT, "state": dict(state)}, file)
        file.flush()
        os.fsync(file.fileno())  # The rename must not reach the disk before the content does.
    partial.replace(path)


def load_checkpoint(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a state that `save_checkpoint` wrote, with all tensors on the CPU.

    No code from the file is run (`weights_only=True`), so a file of unknown origin can be wrong,
    but not dangerous.

    Args:
        path: the file.

    Returns:
        The state.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is truncated, or is not a checkpoint of this course.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_checkpoint(f"{folder}/run.pt", {"weight": torch.arange(3)})
        ...     load_checkpoint(f"{folder}/run.pt")
        {'weight': tensor([0, 1, 2])}

    Taught in: book/training/training_loop.md
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"`path` (={str(path)!r}) names no file: no checkpoint is there.")
    if not zipfile.is_zipfile(path):  # The index of a zip file is at its end.
        raise ValueError(
            f"`path` (={str(path)!r}) is not a checkpoint: the file is truncated, or was written "
            "by another program."
        )
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise ValueError(
            f"`path` (={str(path)!r}) cannot be read as a checkpoint: {error}"
        ) from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ValueError(
            f"`path` (={str(path)!r}) was not written by `save_checkpoint` of this version: it "
            f"does not name the format {FORMAT!r}."
        )
    return content["state"]


def random_state() -> dict[str, Any]:
    """Return the state of the global random generators of PyTorch, NumPy and Python.

    Returns:
        A state for `set_random_state`, made of tensors, numbers and texts only.

    Example:
        >>> state = random_state()
        >>> before = torch.rand(2), np.random.rand(), random.random()
        >>> set_random_state(state)
        >>> after = torch.rand(2), np.random.rand(), random.random()
        >>> bool((before[0] == after[0]).all()), before[1:] == after[1:]
        (True, True)

    Taught in: book/training/training_loop.md
    """
    numpy_state: Any = np.random.get_state()  # noqa: NPY002  (the global one is meant)
    name, keys, *rest = numpy_state
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all(),  # One state for each GPU.
        "numpy": [name, keys.tolist(), *rest],
        "python": random.getstate(),
    }


def set_random_state(state: Mapping[str, Any]) -> None:
    """Put the global random generators back into the state that `random_state` returned.

    Args:
        state: the state.

    Raises:
        ValueError: if the state was taken on a machine with another number of GPUs.

    Example:
        >>> state = random_state()
        >>> number = random.random()
        >>> set_random_state(state)
        >>> random.random() == number
        True

    Taught in: book/training/training_loop.md
    """
    if len(state["cuda"]) != torch.cuda.device_count():
        raise ValueError(
            f"`state` was taken with {len(state['cuda'])} GPUs, this machine has "
            f"{torch.cuda.device_count()}. The random numbers cannot continue exactly."
        )
    torch.set_rng_state(state["torch"])
    torch.cuda.set_rng_state_all(state["cuda"])
    name, keys, *rest = state["numpy"]
    np.random.set_state((name, np.array(keys, dtype=np.uint32), *rest))  # noqa: NPY002
    random.setstate(state["python"])
