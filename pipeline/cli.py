"""How a command ends: one line for an error that a user can cause, and the exit code that says which kind it was."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import NoReturn

from pipeline.errors import InputError, PipelineError


def run(main: Callable[[], int | None]) -> NoReturn:
    """Call `main` and end the process with its exit code.

    0 done; 1 the run failed; 2 bad input; 3 something required is unavailable; 130 and 143 interrupted.
    """
    signal.signal(signal.SIGTERM, _terminate)
    if not gc.isenabled():
        gc.freeze()
        gc.enable()
    try:
        code = main() or 0
        sys.stdout.flush()
    except PipelineError as error:
        print(f"error: {error}", file=sys.stderr)
        code = error.exit_code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        code = 128 + signal.SIGINT
    except BrokenPipeError:
        # The reader of our output has gone; Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 128 + signal.SIGPIPE
    gc.freeze()
    sys.exit(code)


def append_summary(path: Path | None, *paragraphs: str) -> None:
    """Append paragraphs of Markdown to the file at `path`, if there is one: the steps of a CI job share one summary.

    Raises:
        InputError: The file cannot be written.
    """
    if path is None:
        return
    try:
        with path.open("a", encoding="utf-8", newline="\n") as file:
            file.write("\n" + "\n\n".join(paragraphs) + "\n")
    except OSError as error:
        raise InputError(f"--summary cannot be written ({error.strerror})", path=path) from None


def _terminate(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + signal.SIGTERM)
