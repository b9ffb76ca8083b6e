"""The processes that fork programs for the tests."""

import signal
import tempfile
from pathlib import Path

from tests.support import forks


def test_ctrl_c_in_a_terminal_is_not_for_what_forks() -> None:
    """It goes on, and ends in order with the tests."""
    # The name of a socket may not be long.
    with tempfile.TemporaryDirectory(prefix="forks-") as folder, forks.Server("dvc", Path(folder)).open() as process:
        process.send_signal(signal.SIGINT)
        assert process.stdin is not None
        process.stdin.close()

        assert process.wait(60) == 0


def test_ctrl_c_interrupts_a_forked_program(tmp_path: Path) -> None:
    """As it does any program that a terminal starts."""
    asked = "import signal; print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)"

    assert forks.run(tmp_path, "python", "-c", asked) == "True\n"
