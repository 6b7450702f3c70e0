"""The wheel of unispawner-lab for tests, installed as in a user's environment, but in a folder.

`ci/test` builds it and names it in UNISPAWNER_TEST_LAB_WHEEL.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from support.hub import until

WHEEL = "UNISPAWNER_TEST_LAB_WHEEL"


def why_no_lab() -> str:
    """Return why there is no unispawner-lab to test; empty if there is one."""
    return "" if os.environ.get(WHEEL) else f"{WHEEL} names no wheel: ci/lab builds one"


_PAUSES = "SELDOM, OFTEN, NOT_KNOWN = 300.0, 60.0, 1800.0"
"""How long the extension waits between two questions to the Hub."""


def install_lab(folder: Path) -> dict[str, str]:
    """Install the wheel into a folder; return the variables with which a server finds it.

    There is neither node nor a network, and nothing of the wheel is in the tests' own environment.
    This copy asks the Hub each second, so that no test waits for minutes.
    """
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps"]
    install += ["--disable-pip-version-check", "--root-user-action=ignore", "--ignore-installed"]
    subprocess.run([*install, "--prefix", str(folder), os.environ[WHEEL]], check=True)
    (packages,) = folder.glob("**/site-packages")
    module = packages / "unispawner_lab" / "time_left.py"
    text = module.read_text()
    assert _PAUSES in text
    module.write_text(text.replace(_PAUSES, "SELDOM, OFTEN, NOT_KNOWN = 1.0, 1.0, 1.0"))
    return {
        "PYTHONPATH": str(packages),
        "JUPYTER_PATH": str(folder / "share" / "jupyter"),
        "JUPYTER_CONFIG_PATH": str(folder / "etc" / "jupyter"),
    }


async def wait_for_text(page: Any, place: Any, text: str, seconds: float = 60) -> None:
    """Wait until a place of JupyterLab has a text (a pattern); the time left is asked for anew.

    The extension asks every 20 seconds, and when its window becomes visible.
    """

    async def shown() -> bool:
        await page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        texts = await place.all_inner_texts()
        return any(re.search(text, one) for one in texts)

    await until(shown, f"JupyterLab shows {text!r}", seconds, pause=0.5)
