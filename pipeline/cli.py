"""How a command ends: one line for an error that a user can cause, and an exit code; and arguments of several."""

import gc
import json
import os
import signal
import sys
import time
from argparse import ArgumentParser
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from typing import Any, NoReturn, TextIO

from pipeline.errors import InputError, PipelineError

# As git sets them in its hooks: they would have another repository read than that of the current directory.
_REPOSITORY = ("DIR", "WORK_TREE", "INDEX_FILE", "COMMON_DIR", "OBJECT_DIRECTORY", "NAMESPACE", "PREFIX")


_JSON = "--json"
# Where answers go, if not to sys.stdout: for a program, that has nothing else.
_answers: list[TextIO] = []


def run(main: Callable[[], int | None]) -> NoReturn:
    """Call `main` and end the process with its exit code.

    0 done; 1 the run failed; 2 bad input, or output that cannot be written; 3 something required is unavailable; 130
    and 143 interrupted. With --json, the output has only what `answer` prints, and an error as an object.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    if not gc.isenabled():
        gc.freeze()
        gc.enable()
    for name in _REPOSITORY:
        os.environ.pop(f"GIT_{name}", None)
    _open_streams()
    if _JSON in sys.argv:
        _answers.append(sys.stdout)
        sys.stdout = sys.stderr
    try:
        sys.exit(_end(main))
    finally:
        if _answers:
            sys.stdout = _answers.pop()
        gc.freeze()


def _end(main: Callable[[], int | None]) -> int:
    """Call `main`, say why it failed if it did, and return the exit code."""
    try:
        _check_clock()
        code = main() or 0
        sys.stdout.flush()
    except SystemExit as ended:
        # Of argparse, after its own words, or of SIGTERM.
        code = ended.code if isinstance(ended.code, int) else int(bool(ended.code))
        if code and _answers:
            _refused("interrupted" if code > 128 else "wrong arguments", code)
    except PipelineError as error:
        code = _refused(f"error: {error}", error.exit_code)
    except KeyboardInterrupt:
        # Whoever presses it again has been heard.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        code = _refused("interrupted", 128 + signal.SIGINT)
    except BrokenPipeError:
        # The reader of our output has gone.
        code = 128 + signal.SIGPIPE
    except OSError as error:
        if _written(_output(), "\n"):
            raise
        _written(sys.stderr, f"error: output cannot be written ({error.strerror})\n")
        code = InputError.exit_code
    for stream in (*_answers, sys.stdout, sys.stderr):
        if not _written(stream):
            # Python would complain once more when it flushes at exit, and end with a code of its own.
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    return code


def _refused(line: str, code: int) -> int:
    """Say why there is no answer, and return the exit code."""
    for stream in _answers:
        content = {"exit_code": code, "error": line.removeprefix("error: ")}
        _written(stream, f"{json.dumps(content)}\n")
    _written(sys.stderr, f"{line}\n")
    return code


def add_json_argument(parser: ArgumentParser, words: str = "print one JSON object (docs/programs.md)") -> None:
    """Add the argument with which a program can read the answer, and an error as well; it cannot be abbreviated."""
    parser.allow_abbrev = False
    parser.add_argument(_JSON, action="store_true", help=words)


def answer(as_json: bool, text: str, content: Mapping[str, Any], code: int = 0) -> int:
    """Print the answer of a command, as `text` or as a JSON object with its exit code, and return that."""
    if as_json:
        objects({"exit_code": code, **content})
    elif text:
        print(text, flush=True)
    return code


def objects(*contents: Mapping[str, Any]) -> None:
    """Print JSON objects, one to a line, which have no NaN or infinite number."""
    lines = "".join(f"{json.dumps(content, allow_nan=False)}\n" for content in contents)
    print(lines, end="", file=_output(), flush=True)


def _output() -> TextIO:
    return _answers[0] if _answers else sys.stdout


def _check_clock() -> None:
    if (year := time.localtime().tm_year) < 1980:
        raise InputError(f"this machine's clock says {year}, a year that model files cannot have", fix="set it")


def add_engine_arguments(parser: ArgumentParser) -> None:
    """Add the arguments that say where training runs of many seeds take place."""
    parser.add_argument(
        "--scheduler", default=os.environ.get("DASK_SCHEDULER_ADDRESS"), help="default: $DASK_SCHEDULER_ADDRESS"
    )
    parser.add_argument("--workers", type=int, help="workers of a local cluster; default: all cores")


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Have the block, which is to be short, end before SIGINT or SIGTERM is acted upon.

    A terminal sends Ctrl-C to all processes of a command: what is started meanwhile, and what that starts, gets none.
    """
    came: list[int] = []
    # Libraries have threads that do not block a signal, and Python handles it in this one whichever gets it.
    handlers = {
        signum: signal.signal(signum, lambda number, _: came.append(number))
        for signum in (signal.SIGINT, signal.SIGTERM)
    }
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for number, handler in handlers.items():
            signal.signal(number, handler)
    for first in came[:1]:
        signal.raise_signal(first)


def append_summary(path: Path | None, *paragraphs: str) -> None:
    """Append paragraphs of Markdown to the file at `path`, if there is one: the steps of a CI job share one summary.

    Raises:
        InputError: It is no file, or it cannot be written.
    """
    if path is None:
        return
    try:
        if path.exists() and not path.is_file():
            # A pipe would be waited for until somebody reads it.
            raise InputError("--summary: expected a file", path=path)
        with path.open("a", encoding="utf-8", newline="\n") as file:
            file.write("\n" + "\n\n".join(paragraphs) + "\n")
    except OSError as error:
        raise InputError(f"--summary cannot be written ({error.strerror})", path=path) from None


def _open_streams() -> None:
    """Have all three streams: where one is closed, the next file that is opened would take its place.

    A letter that the terminal's encoding does not have is written as its number.
    """
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            mode = "r" if name == "stdin" else "w"
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _written(stream: TextIO, text: str = "") -> bool:
    """Write `text`, and what was printed before; return whether that was possible."""
    try:
        print(text, end="", file=stream, flush=True)
    except OSError:
        return False
    return True
