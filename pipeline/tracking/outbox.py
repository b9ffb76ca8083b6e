"""Work that is done in order beside the caller, who never waits for it: what fails is tried again."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

RETRY = 5.0  # seconds from a failure to the next try, if nothing else is given to do before


class Sender:
    """A thread with a queue of named actions; the first must succeed before the next is tried.

    An action can have had its effect and fail all the same, so each has to be one that can be repeated. After an error
    that is `hopeless`, nothing more is tried.
    """

    def __init__(self, hopeless: Callable[[Exception], bool] = lambda _: False) -> None:
        self.error: Exception | None = None  # why the action that is tried has not succeeded yet
        self._hopeless = hopeless
        self._waiting: deque[tuple[str, Callable[[], None]]] = deque()
        self._changed = threading.Condition()
        self._given_up = False
        threading.Thread(target=self._work, daemon=True).start()

    def put(self, name: str, action: Callable[[], None]) -> None:
        """Have `action` done after all that was put before it."""
        with self._changed:
            self._waiting.append((name, action))
            self._changed.notify_all()

    def wait(self, patience: float) -> list[str]:
        """Wait until all is done, for `patience` seconds at most, and return the names of what is not done."""
        with self._changed:
            self._changed.wait_for(lambda: self._given_up or not self._waiting, patience)
            return [name for name, _ in self._waiting]

    def close(self, patience: float) -> list[str]:
        """Wait as `wait` does, and begin nothing more after that."""
        left = self.wait(patience)
        self._give_up()
        return left

    def _give_up(self) -> None:
        with self._changed:
            self._given_up = True
            self._changed.notify_all()

    def _work(self) -> None:
        while action := self._next():
            try:
                action()
            except Exception as error:
                self._pause_after(error)
            else:
                self._done()

    def _next(self) -> Callable[[], None] | None:
        with self._changed:
            self._changed.wait_for(lambda: self._given_up or self._waiting)
            return None if self._given_up else self._waiting[0][1]

    def _done(self) -> None:
        with self._changed:
            self.error = None
            self._waiting.popleft()
            self._changed.notify_all()

    def _pause_after(self, error: Exception) -> None:
        with self._changed:
            self.error = error
            if self._hopeless(error):
                self._give_up()
            else:
                self._changed.wait(RETRY)
