"""The processor's name and the memory, from what Linux says of them."""

import platform
from pathlib import Path

import psutil
import pytest

from pipeline import machine

CPUINFO = """processor\t: 0
cpu family\t: 6
model\t\t: 167
model name\t: Some(R) Processor: 2 GHz
flags\t\t: fpu avx2

processor\t: 1
model name\t: Another
"""


def said(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Let Linux say `text` of its processors."""
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: text)


def test_name_tells_generations_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first processor's name is followed by the numbers of its family and model."""
    said(monkeypatch, CPUINFO)

    assert machine.processor() == "Some(R) Processor: 2 GHz (family 6, model 167)"


@pytest.mark.parametrize("text", ["", "processor\t: 0\nFeatures\t: fp asimd\n"])
def test_without_a_name_there_is_the_architecture(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Where Linux gives no name, as on Arm, the processor has the one that Python knows."""
    said(monkeypatch, text)
    monkeypatch.setattr(platform, "processor", lambda: "")

    assert machine.processor() == platform.machine() != ""


def test_a_system_without_cpuinfo_has_a_processor_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """On macOS there is no such file."""

    def missing(*_: object, **__: object) -> str:
        raise FileNotFoundError

    monkeypatch.setattr(Path, "read_text", missing)

    assert machine.processor() == (platform.processor() or platform.machine())


def test_the_memory_is_that_of_the_machine() -> None:
    """It is the number of bytes that psutil states, on any system."""
    assert machine.memory() == pytest.approx(psutil.virtual_memory().total, rel=0.01)
