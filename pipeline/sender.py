"""Work that is done in order beside the caller, who never waits for it: what fails is tried again."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

RETRY = 5.0  # seconds from a failure to the next try, if nothing else is given to do before


class Sender:
    """A thread with a queue of named actions; the first must succeed before the next is tried."""

    def __init__(self) -> None:
        self.error: Exception | None = None
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
        """Wait until all is done, or nothing was for `patience` seconds, and return the names of what is not done."""
        with self._changed:
            while self._waiting and self._advances(len(self._waiting), patience):
                pass
            return [name for name, _ in self._waiting]

    def close(self, patience: float) -> list[str]:
        """Wait as `wait` does, and begin nothing more after that."""
        left = self.wait(patience)
        with self._changed:
            self._given_up = True
            self._changed.notify_all()
        return left

    def _advances(self, left: int, patience: float) -> bool:
        return self._changed.wait_for(lambda: len(self._waiting) < left, patience)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._given_up)
                if self._given_up:
                    return
                _, action = self._waiting[0]
            try:
                action()
            except Exception as error:
                self._pause_after(error)
            else:
                with self._changed:
                    self._waiting.popleft()
                    self._changed.notify_all()

    def _pause_after(self, error: Exception) -> None:
        with self._changed:
            self.error = error
            self._changed.wait(RETRY)
