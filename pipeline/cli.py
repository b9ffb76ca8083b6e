"""How a command ends: one line for an error that a user can cause, and the exit code that says which kind it was."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import NoReturn

from pipeline.errors import PipelineError


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


def _terminate(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + signal.SIGTERM)
