"""A retry queue: actions done in order in the background, retried after errors, while the caller goes on."""

import threading
from collections import deque
from collections.abc import Callable

RETRY_S = 5.0  # from a failure to the next attempt, unless something else is put before that


class Outbox:
    """A thread with a queue of named actions; the first must succeed before the next is attempted.

    An action can take effect and fail all the same, so each must be idempotent. After an error that `is_permanent`,
    nothing more is attempted.
    """

    def __init__(self, is_permanent: Callable[[Exception], bool] = lambda _: False) -> None:
        self.error: Exception | None = None  # why the action at the head of the queue has not succeeded yet
        self._is_permanent = is_permanent
        self._queue: deque[tuple[str, Callable[[], object]]] = deque()
        self._changed = threading.Condition()
        self._stopped = False
        threading.Thread(target=self._work, daemon=True).start()

    def put(self, name: str, action: Callable[[], object]) -> None:
        """Append `action` to the queue."""
        with self._changed:
            self._queue.append((name, action))
            self._changed.notify_all()

    def wait(self, timeout_s: float) -> list[str]:
        """Wait until the queue is empty, for `timeout_s` seconds at most; return the names of what is left in it."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or not self._queue, timeout_s)
            return [name for name, _ in self._queue]

    def close(self, timeout_s: float, busy_s: float = 0) -> list[str]:
        """Wait as `wait` does, `busy_s` seconds longer while nothing has failed, and begin nothing more after that."""
        with self._changed:
            self.wait(timeout_s)
            self._changed.wait_for(lambda: self._stopped or self.error or not self._queue, busy_s)
            return self._stop()

    def drain(self, timeout_s: float, on_progress: Callable[[int], object]) -> list[str]:
        """Wait as long as actions succeed, each within `timeout_s` seconds, and begin nothing more after that.

        `on_progress` is called with the number of actions that have succeeded since its last call. Returns the names of
        what is left. Nothing may be put meanwhile.
        """
        with self._changed:
            while self._queue and not self._stopped:
                before = len(self._queue)
                self._changed.wait_for(lambda: self._stopped or len(self._queue) < before, timeout_s)  # noqa: B023
                if len(self._queue) == before:
                    break
                on_progress(before - len(self._queue))
            return self._stop()

    def _stop(self) -> list[str]:
        """Begin nothing more, and return the names of what is left; the caller holds the lock."""
        self._stopped = True
        self._changed.notify_all()
        return [name for name, _ in self._queue]

    def _work(self) -> None:
        while action := self._next():
            try:
                action()
            except Exception as error:
                self._tried(error)
            else:
                self._tried(None)

    def _next(self) -> Callable[[], object] | None:
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or self._queue)
            return None if self._stopped else self._queue[0][1]

    def _tried(self, error: Exception | None) -> None:
        """Remove the action at the head of the queue, or, after an error, pause until it is tried again."""
        with self._changed:
            self.error = error
            if error is None:
                self._queue.popleft()
                self._changed.notify_all()
            elif self._is_permanent(error):
                self._stop()
            else:
                self._changed.wait(RETRY_S)
