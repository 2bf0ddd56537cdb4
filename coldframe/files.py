"""Files people ask for: refused before any work where they could not be written, and never left half-written."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from coldframe.errors import ConfigurationError


def check_out(path: Path, *suffixes: str) -> None:
    """Raises ConfigurationError for a file that `whole` could not write, or that its suffix promises wrongly."""
    if path.suffix not in suffixes:
        raise ConfigurationError(f"{path} should end in {' or '.join(suffixes)}: that says how it is written.")
    with whole(path, keep=False):
        pass


@contextmanager
def whole(path: Path, keep: bool = True) -> Iterator[Path]:
    """A file to write to, which takes the place of `path` when all is written (unless nothing is to be kept). Folders
    that are not there are made.

    Raises ConfigurationError where nothing can be written.
    """
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.unfinished")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished.touch()
    except OSError as error:
        raise ConfigurationError(
            f"{path} cannot be written ({error.strerror}). Choose a folder that may be written to."
        ) from error
    try:
        yield unfinished
        if keep:
            unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
