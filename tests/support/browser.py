"""A headless Chromium for tests of pages, driven by chromedriver over WebDriver's plain HTTP (W3C)."""

import base64
import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
FLAGS = ["headless=new", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking"]
FLAGS += ["disable-component-update", "disable-sync", "disable-dev-shm-usage"]
# As on a desk, there is a mouse: what a page shows only under the pointer is not shown always.
FLAGS += ["blink-settings=primaryHoverType=2,availableHoverTypes=2,primaryPointerType=4,availablePointerTypes=4"]
# Seconds that a page may take to be drawn on a busy machine.
TIMEOUT_S = 120
# Stays: a browser is not a Python package, so the environment cannot bring it.
needs_browser = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs chromium and chromedriver on PATH")


class Browser:
    """One window."""

    def __init__(self, driver: str, folder: Path) -> None:
        arguments = [*(f"--{flag}" for flag in FLAGS), f"--user-data-dir={folder}"]
        options = {"binary": CHROMIUM, "args": arguments}
        wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        # More than a script waits for, so that its own failure is reported.
        wanted["timeouts"] = {"script": 2000 * TIMEOUT_S}
        self._address = f"{driver}/session"
        session = self._call("POST", "", {"capabilities": {"alwaysMatch": wanted}})
        self._address += f"/{session['sessionId']}"

    def _call(self, method: str, path: str, content: dict[str, Any] | None = None) -> Any:
        body = None if content is None else json.dumps(content).encode()
        headers = {"Content-Type": "application/json"}
        request = Request(self._address + path, body, headers, method=method)  # noqa: S310
        try:
            with urlopen(request, timeout=3 * TIMEOUT_S) as answer:  # noqa: S310
                return json.load(answer)["value"]
        except HTTPError as error:
            raise AssertionError(json.load(error)["value"]["message"]) from None

    def view(self, width: int, height: int, scheme: str = "light", scale: float = 1) -> None:
        """Show pages `width` x `height` CSS pixels large, in a light or a dark scheme, each pixel `scale` wide."""
        size = {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": False}
        self._devtools("Emulation.setDeviceMetricsOverride", size)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self._devtools("Emulation.setEmulatedMedia", {"features": features})

    def _devtools(self, command: str, params: dict[str, Any]) -> Any:
        return self._call("POST", "/goog/cdp/execute", {"cmd": command, "params": params})

    def open(self, url: str) -> None:
        """Load a page."""
        self._call("POST", "/url", {"url": url})

    def run(self, script: str) -> Any:
        """Return what the body of a function in JavaScript returns."""
        return self._call("POST", "/execute/sync", {"script": script, "args": []})

    def wait(self, condition: str) -> Any:
        """Return the value of an expression in JavaScript once it is true; until then, it may throw."""
        script = f"""
            const [done] = arguments, until = Date.now() + {1000 * TIMEOUT_S};
            const look = () => {{ let value = false; try {{ value = {condition}; }} catch {{}}
                value || Date.now() > until ? done(value) : setTimeout(look, 50); }};
            look();"""
        value = self._call("POST", "/execute/async", {"script": script, "args": []})
        assert value, f"not within {TIMEOUT_S} s: {condition}"
        return value

    def click(self, path: str) -> None:
        """Click the first element on an XPath once it is there."""
        element = f"document.evaluate({json.dumps(path)}, document, null, 9).singleNodeValue"
        self.wait(f"{element} && ({element}.click(), true)")

    def drag(self, points: Sequence[tuple[float, float]], kind: str = "mouse") -> None:
        """Press at the first of these points of the window, move to the others, let go; `kind`: mouse, touch, pen."""
        moves = [{"type": "pointerMove", "duration": 20, "x": round(x), "y": round(y)} for x, y in points]
        press, release = {"type": "pointerDown", "button": 0}, {"type": "pointerUp", "button": 0}
        actions = [moves[0], press, *moves[1:], release]
        pointer = {"type": "pointer", "id": kind, "parameters": {"pointerType": kind}, "actions": actions}
        self._call("POST", "/actions", {"actions": [pointer]})

    def complaints(self) -> list[str]:
        """Return what the console says since the last call: errors, what a policy refused, what was not found."""
        return [entry["message"] for entry in self._call("POST", "/se/log", {"type": "browser"})]

    def screenshot(self, path: Path, box: Sequence[float] | None = None) -> None:
        """Write what the window shows, or a box of it (left, top, width, height), to `path` as PNG."""
        clip = {"clip": {"scale": 1, **dict(zip(("x", "y", "width", "height"), box, strict=True))}} if box else {}
        path.write_bytes(base64.b64decode(self._devtools("Page.captureScreenshot", clip)["data"]))

    def close(self) -> None:
        """End the browser."""
        self._call("DELETE", "")


@contextmanager
def opened(folder: Path) -> Iterator[Browser]:
    """Yield a browser whose profile is in `folder`; where none can be started, the test is skipped."""
    with subprocess.Popen([str(DRIVER), "--port=0"], stdout=subprocess.PIPE, text=True) as driver:
        try:
            assert driver.stdout is not None
            port = next(match[1] for line in driver.stdout if (match := re.search(r"on port (\d+)\.", line)))
            try:
                browser = Browser(f"http://127.0.0.1:{port}", folder)
            except AssertionError as error:
                # As where the driver is of another version than the browser.
                pytest.skip(f"chromedriver cannot start chromium: {error}")
            try:
                yield browser
            finally:
                browser.close()
        finally:
            driver.terminate()
