"""The retry queue: actions in order, retried, and given up in time."""

import threading
import time

import pytest

from pipeline.tracking import outbox
from pipeline.tracking.outbox import Outbox


@pytest.fixture(autouse=True)
def _retry_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outbox, "RETRY_S", 0.02)


def test_actions_are_done_in_order() -> None:
    """Everything put is done, in the order in which it was put."""
    done: list[int] = []
    queue = Outbox()
    for number in range(50):
        queue.put(str(number), lambda number=number: done.append(number))

    assert queue.close(5) == []
    assert done == list(range(50))


def test_putting_never_waits() -> None:
    """While an action hangs, the caller goes on."""
    release = threading.Event()
    queue = Outbox()
    started = time.monotonic()

    queue.put("hangs", release.wait)
    queue.put("later", lambda: None)

    assert time.monotonic() - started < 0.5
    release.set()
    assert queue.close(5) == []


def test_what_fails_is_retried_before_anything_else() -> None:
    """An action that fails twice is done at the third try, and the one behind it after that."""
    done: list[str] = []

    def fail_twice() -> None:
        done.append("try")
        if len(done) < 3:
            raise ConnectionError

    queue = Outbox()
    queue.put("first", fail_twice)
    queue.put("second", lambda: done.append("second"))

    assert queue.close(5) == []
    assert done == ["try", "try", "try", "second"]


def test_what_cannot_be_done_is_named_in_time() -> None:
    """Closing gives up after the timeout, names what is left and why, and begins nothing more."""
    tries: list[float] = []

    def fail() -> None:
        tries.append(time.monotonic())
        raise ConnectionError("away")

    queue = Outbox()
    queue.put("done", lambda: None)
    queue.put("lost", fail)
    queue.put("also lost", lambda: None)
    started = time.monotonic()

    assert queue.close(0.2) == ["lost", "also lost"]
    assert time.monotonic() - started < 2
    assert str(queue.error) == "away"
    time.sleep(0.1)
    count = len(tries)
    time.sleep(0.2)
    assert len(tries) == count


def test_the_timeout_is_for_all_that_is_left() -> None:
    """A queue that moves on slowly is not waited for any longer."""
    queue = Outbox()
    for _ in range(20):
        queue.put("slow", lambda: time.sleep(0.1))
    started = time.monotonic()

    left = queue.close(0.5)

    assert time.monotonic() - started < 1
    assert 10 <= len(left) < 20


@pytest.mark.fault("queued experiments on a busy machine, all at once, without a store yet")
def test_what_is_merely_slow_is_waited_for() -> None:
    """As long as nothing fails there is more time; once something has, there is none."""
    slow, failing = Outbox(), Outbox()
    slow.put("slow", lambda: time.sleep(0.5))
    failing.put("slow", lambda: time.sleep(0.3))
    failing.put("fails", lambda: 1 / 0)
    started = time.monotonic()

    assert slow.close(0.1, 60) == []
    assert failing.close(0.1, 60) == ["fails"]
    assert time.monotonic() - started < 30


def test_after_a_permanent_error_nothing_is_attempted_or_waited_for() -> None:
    """Such an error is the last: what is left is named at once, also what is put later."""
    tries: list[str] = []

    def refuse() -> None:
        tries.append("refused")
        raise PermissionError("no")

    queue = Outbox(is_permanent=lambda error: isinstance(error, PermissionError))
    queue.put("first", refuse)
    assert queue.wait(5) == ["first"]
    queue.put("second", lambda: tries.append("second"))
    started = time.monotonic()

    assert queue.close(5) == ["first", "second"]
    assert time.monotonic() - started < 0.5
    assert tries == ["refused"]
    assert str(queue.error) == "no"


def test_an_error_that_was_overcome_is_no_reason() -> None:
    """Once an action succeeds, its earlier error is forgotten."""
    tries: list[str] = []

    def fail_once() -> None:
        tries.append("try")
        if len(tries) == 1:
            raise ConnectionError

    queue = Outbox()
    queue.put("fails once", fail_once)

    assert queue.wait(5) == []
    assert queue.error is None
