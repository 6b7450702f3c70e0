"""The wheel of unispawner-lab for tests, installed as in a user's environment, but in a folder.

`ci/test` builds it and names it in UNISPAWNER_TEST_LAB_WHEEL.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

WHEEL = "UNISPAWNER_TEST_LAB_WHEEL"


def why_no_lab() -> str:
    """Return why there is no unispawner-lab to test; empty if there is one."""
    return "" if os.environ.get(WHEEL) else f"{WHEEL} names no wheel: ci/lab builds one"


def install_lab(folder: Path) -> dict[str, str]:
    """Install the wheel into a folder; return the variables with which a server finds it.

    There is neither node nor a network, and nothing of the wheel is in the tests' own environment.
    """
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps"]
    install += ["--disable-pip-version-check", "--root-user-action=ignore", "--ignore-installed"]
    subprocess.run([*install, "--prefix", str(folder), os.environ[WHEEL]], check=True)
    (packages,) = folder.glob("**/site-packages")
    return {
        "PYTHONPATH": str(packages),
        "JUPYTER_PATH": str(folder / "share" / "jupyter"),
        "JUPYTER_CONFIG_PATH": str(folder / "etc" / "jupyter"),
    }
