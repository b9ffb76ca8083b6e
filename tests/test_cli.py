"""How commands end, tried on real processes."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from pipeline import cli

ROOT = Path(__file__).parents[1]
# What the user's shell may have set would change what is looked up, and when output leaves the process.
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
ERRORS = "from pipeline.cli import run\nfrom pipeline.errors import InputError, PipelineError, UnavailableError\n"


def program(body: str) -> str:
    """Return the code of a program whose main() has this body."""
    # As in a terminal: a process in the background of a script is started with Ctrl-C ignored.
    terminal = "import signal, time\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
    return f"{ERRORS}{terminal}def main():\n    {body}\nrun(main)\n"


def start(body: str, *arguments: str) -> subprocess.Popen[str]:
    """Start a process whose main() has this body."""
    streams: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    line = [sys.executable, "-c", program(body), *arguments]
    return subprocess.Popen(line, cwd=ROOT, env=ENVIRONMENT, text=True, **streams)


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Return the exit code and what was printed to both streams."""
    out, err = process.communicate(timeout=180)
    return process.returncode, out, err


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        ("return", 0, ""),
        ("return 0", 0, ""),
        ("return 1", 1, ""),
        ("return 2", 2, ""),
        ("raise PipelineError('x: failed')", 1, "error: x: failed\n"),
        ("raise InputError('x: wrong')", 2, "error: x: wrong\n"),
        ("raise UnavailableError('x: away')", 3, "error: x: away\n"),
    ],
)
def test_the_exit_code_says_what_happened(body: str, code: int, message: str) -> None:
    """0 done, 1 failed, 2 wrong input, 3 unavailable; an error is one line on stderr."""
    assert finish(start(body)) == (code, "", message)


@pytest.mark.parametrize(
    ("body", "code", "error"),
    [
        ("raise InputError('x: wrong')", 2, "x: wrong"),
        ("raise UnavailableError('x: away')", 3, "x: away"),
        ("raise KeyboardInterrupt", 130, "interrupted"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGTERM); time.sleep(9)", 143, "interrupted"),
        ("import argparse; argparse.ArgumentParser().error('no')", 2, "wrong arguments"),
    ],
)
def test_a_program_reads_why_there_is_no_answer(body: str, code: int, error: str) -> None:
    """With --json the output is one object and nothing else, whatever is printed meanwhile; people read the line."""
    done = finish(start(f"import sys\n    print('progress')\n    {body}", "--json"))

    assert (done[0], json.loads(done[1])) == (code, {"exit_code": code, "error": error})
    assert done[2].startswith("progress\n")
    assert done[2].endswith(f"{error}\n")


def test_a_program_reads_an_answer() -> None:
    """An object has the exit code; for people, it is what was printed."""
    answered = finish(
        start("from pipeline import cli; print('x'); return cli.answer(True, 'text', {'a': 1}, 1)", "--json")
    )
    assert (answered[0], json.loads(answered[1])) == (1, {"exit_code": 1, "a": 1})
    assert finish(start("from pipeline import cli; return cli.answer(False, 'text', {'a': 1}, 1)"))[:2] == (1, "text\n")


@pytest.mark.parametrize(
    ("body", "error"),
    [("return {}['key']", "KeyError: 'key'"), ("open('/dev/full', 'w', buffering=1).write('x\\n')", "OSError: ")],
)
def test_a_fault_of_the_program_keeps_its_traceback(body: str, error: str) -> None:
    """What no user causes is not dressed up as a user's error, nor a failed write elsewhere as one of the output."""
    code, _, err = finish(start(body))

    assert code == 1
    assert "Traceback" in err
    assert error in err


@pytest.mark.fault("a clock before 1980, which no archive can have")
def test_a_clock_that_is_not_set_is_an_error_at_the_start(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is one line, and nothing runs: a training run would fail when it saves."""
    monkeypatch.setattr("time.localtime", lambda: time.struct_time((1970, 1, 1, 0, 0, 0, 3, 1, 0)))

    with pytest.raises(SystemExit) as ended:
        cli.run(lambda: pytest.fail("it ran"))

    assert ended.value.code == 2
    assert (
        capsys.readouterr().err
        == "error: this machine's clock says 1970, a year that model files cannot have; set it\n"
    )


@pytest.mark.fault("PYTHONWARNINGS=error")
def test_warnings_of_libraries_end_no_command() -> None:
    """Whoever wants their own warnings to be errors gets those of a library printed."""
    code = f"{ERRORS}import warnings\nrun(lambda: warnings.warn('old', DeprecationWarning))"
    environment = ENVIRONMENT | {"PYTHONWARNINGS": "error"}

    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True)

    assert (done.returncode, "DeprecationWarning: old" in done.stderr) == (0, True)


@pytest.mark.fault("SIGTERM, Ctrl-C")
@pytest.mark.parametrize(("number", "code", "said"), [(signal.SIGTERM, 143, ""), (signal.SIGINT, 130, "interrupted\n")])
def test_an_interruption_is_told_from_a_failure(number: signal.Signals, code: int, said: str) -> None:
    """SIGTERM ends with 143 and Ctrl-C with 130, without a traceback and after the cleaning up."""
    process = start("try: print('ready', flush=True); time.sleep(30)\n    finally: print('cleaned up', flush=True)")
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"

    process.send_signal(number)

    assert finish(process) == (code, "cleaned up\n", said)


@pytest.mark.fault("reader of the output goes away")
@pytest.mark.parametrize("lines", [10, 1_000_000])
def test_a_reader_that_goes_away_is_no_failure_to_tell(lines: int) -> None:
    """`command | head -1` ends as a shell expects, with 128 + SIGPIPE, and silently, be the output short or long."""
    process = start(f"print('begun', flush=True); input(); [print('line') for _ in range({lines})]")
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    process.stdin.write("\n")
    process.stdin.close()

    assert (process.wait(30), process.stderr.read()) == (141, "")
    process.stderr.close()


def end(body: str, redirected: str = "", **environment: str) -> tuple[int, str, str]:
    """Call the body as main() with streams redirected by the shell; return the exit code, stdout and stderr."""
    line = ["bash", "-c", f'exec "$0" -c "$1" {redirected}', sys.executable, program(body)]
    done = subprocess.run(line, cwd=ROOT, env=ENVIRONMENT | environment, capture_output=True, check=False, timeout=180)
    return done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode()


@pytest.mark.fault("output that cannot be written")
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(
    "body", ["print('x')", "print('x'); return 1", "print('x' * 100_000)", "print('x', flush=True)"]
)
def test_output_that_cannot_be_written_is_one_line(body: str, unbuffered: str) -> None:
    """On a full disk it is 2, so that a gate that nobody can read neither passes nor fails."""
    code, _, err = end(body, ">/dev/full", PYTHONUNBUFFERED=unbuffered)

    assert (code, err) == (2, "error: output cannot be written (No space left on device)\n")


@pytest.mark.parametrize(
    ("body", "redirected", "code", "out"),
    [
        ("print('x'); return 1", ">&-", 1, ""),
        ("print('x')", "<&- >&- 2>&-", 0, ""),
        ("raise InputError('x')", "2>&-", 2, ""),
        ("raise InputError('x')", "2>/dev/full", 2, ""),
        ("open('/dev/null'); print('x'); return 1", "<&-", 1, "x\n"),
        ("import os; os.write(os.open('/dev/zero', os.O_RDWR), b'x'); return 3", ">&-", 3, ""),
    ],
)
def test_a_closed_stream_changes_no_exit_code(body: str, redirected: str, code: int, out: str) -> None:
    """What is printed to it is lost, as was asked for, and no file takes its place."""
    assert end(body, redirected) == (code, out, "")


def test_a_letter_outside_of_the_terminals_encoding_is_escaped() -> None:
    """A class may be called so; the rest of the line is shown."""
    assert end("print('0 \\u73ca .9')", PYTHONIOENCODING="ascii") == (0, "0 \\u73ca .9\n", "")


@pytest.mark.fault("GIT_DIR in the environment")
def test_another_repository_in_the_environment_is_not_meant(tmp_path: Path) -> None:
    """As git's hooks set GIT_DIR and its like, commands that look for the one of their folder do not see them."""
    names = subprocess.run(["git", "rev-parse", "--local-env-vars"], capture_output=True, text=True, check=True).stdout
    others = "CONFIG|REPLACE|GRAFT|SHALLOW|ALTERNATE|IMPLICIT|INTERNAL"
    ours = [name for name in names.split() if not re.search(others, name)]
    body = f"import os; print([name for name in {ours} + ['GIT_NAMESPACE'] if name in os.environ])"

    assert end(body, **dict.fromkeys(ours, str(tmp_path)))[1] == "[]\n"


@pytest.mark.fault("interpreter without the packages")
@pytest.mark.parametrize("command", ["gate", "train"])
def test_a_wrong_interpreter_says_so(command: str) -> None:
    """An interpreter without the packages gets one line that names itself and the way out, and 2."""
    # -S leaves site-packages out, as an interpreter outside the virtual environment does.
    line = [sys.executable, "-S", "-m", f"pipeline.{command}"]

    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, env=ENVIRONMENT, check=False)

    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith(f"error: {sys.executable} is missing keras, mlflow, pydantic, tensorflow: call make")


def test_garbage_is_collected_from_the_start_of_main_on() -> None:
    """While a program's modules are imported there is no search for garbage; main() has one that spares them."""
    code = (
        "import gc, sys; sys.argv[0] = '-m'; from pipeline import cli; print(gc.isenabled()); "
        "cli.run(lambda: print(gc.isenabled(), gc.get_freeze_count() > 0))"
    )

    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)

    assert done.stdout.splitlines() == ["False", "True True"]
