"""The processor, on which the last bits of a result and its seconds depend, and the memory."""

import os
import platform
from pathlib import Path


def processor() -> str:
    """Return the name of this machine's processor; on Linux with the numbers of its family and model.

    Names that virtual machines give, as "Intel(R) Xeon(R) Processor", stand for processors of several generations.
    """
    facts = cpuinfo()
    name = facts.get("model name") or platform.processor() or platform.machine() or "unknown"
    numbers = [f"{key.removeprefix('cpu ')} {facts[key]}" for key in ("cpu family", "model") if facts.get(key)]
    return f"{name} ({', '.join(numbers)})" if numbers else name


def memory() -> int:
    """Return the bytes of memory that this machine has."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def cpuinfo() -> dict[str, str]:
    """Return what Linux says of the first processor, by key; nothing where it does not say."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    pairs = (line.partition(":") for line in text.partition("\n\n")[0].splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}
