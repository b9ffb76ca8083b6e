"""The errors that a user can cause. Each is one line: where, what is wrong, and what to do about it."""

from pathlib import Path

# Joiners of letters, which Persian and many other scripts need, and which a terminal draws as nothing.
JOINERS = "\u200c\u200d"


def is_printable(text: str) -> bool:
    """Return whether a terminal can show `text` on one line: all of it is printable, or joins letters."""
    return text.translate(dict.fromkeys(map(ord, JOINERS))).isprintable()


def printable(text: str) -> str:
    """Return `text` with everything that a terminal would act on or could not show escaped, except line breaks.

    Texts from params.yaml, servers and other programs go into messages.
    """
    return "".join(
        letter if is_printable(letter) or letter == "\n" else letter.encode("unicode_escape").decode()
        for letter in text
    )


def reason(error: BaseException, longest: int = 200) -> str:
    """Return what `error` says, on one line of at most `longest` letters; the name of its type if it says nothing."""
    return " ".join(str(error).split())[:longest] or type(error).__name__


class PipelineError(Exception):
    """The run failed: `what` is wrong, at `path` if a file is to blame, and `fix` says what to do about it."""

    exit_code = 1

    def __init__(self, what: str, *, path: Path | None = None, fix: str = "") -> None:
        super().__init__(what)
        self.what, self.path, self.fix = what, path, fix

    def __str__(self) -> str:
        where = f"{self.path}: " if self.path else ""
        return printable(where + "; ".join(filter(None, (self.what, self.fix))))


class InputError(PipelineError):
    """Configuration or input is wrong, or something could not be judged; trying again cannot help."""

    exit_code = 2


class UnavailableError(PipelineError):
    """A tracker or a cluster is required and does not answer."""

    exit_code = 3


def missing(path: Path, stage: str = "") -> InputError:
    """Return the error for a file that is not there and that a DVC stage, by default some stage, creates."""
    return InputError("no such file", path=path, fix=f"`{f'dvc repro {stage}'.strip()}` creates it")


def unreadable(path: Path, error: OSError) -> InputError:
    """Return the error for a file that the operating system does not let us read."""
    return InputError(f"cannot be read ({error.strerror})", path=path)
