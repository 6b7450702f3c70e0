"""What `import unispawner` gives, and when; `test_package.py` has what is released."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

import unispawner


def test_unknown_names_fail_on_access_and_on_import() -> None:
    """An unknown name raises AttributeError on access and ImportError on import."""
    with pytest.raises(AttributeError, match="UniSpawnr"):
        _ = unispawner.UniSpawnr
    with pytest.raises(ImportError):
        from unispawner import UniSpawnr  # noqa: F401 (it is not there)


def test_the_package_has_every_public_name() -> None:
    """The package itself has every public name, and `dir` shows it."""
    assert unispawner.__all__
    missing = [name for name in unispawner.__all__ if getattr(unispawner, name, None) is None]
    assert ([], set()) == (missing, {*unispawner.__all__} - {*dir(unispawner)})


def test_import_is_cheap() -> None:
    """`import unispawner` loads no heavy package, because the agent and the command line import
    it."""
    code = "import sys, unispawner; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    heavy = {
        "jupyterhub",
        "psij",
        "drmaa",
        "tornado",
        "traitlets",
        "sqlalchemy",
        "jinja2",
        "psutil",
    }
    assert set() == heavy & set(done.stdout.split())


def test_public_names_are_imported_when_asked_for() -> None:
    """Importing the package, or an error, does not import JupyterHub; importing a spawner does."""
    code = (
        "import sys, unispawner; before = 'jupyterhub' in sys.modules\n"
        "from unispawner import JobSpec, SubmitError; between = 'jupyterhub' in sys.modules\n"
        "from unispawner import UniSpawner; print(before, between, 'jupyterhub' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "False False True" == done.stdout.strip(), done.stderr


def test_the_fake_scheduler_is_public() -> None:
    """Others test their configuration with unispawner.testing: each of its names is documented."""
    from unispawner import testing

    assert [] == [name for name in testing.__all__ if not getattr(testing, name).__doc__]


async def test_the_example_of_testing_runs(tmp_path: Path) -> None:
    """The example in the docstring of unispawner.testing works as it stands there."""
    from unispawner import testing

    assert testing.__doc__
    example = textwrap.dedent(testing.__doc__.partition("::\n")[2])
    code = f"async def example(tmp_path):\n{textwrap.indent(example, '    ')}    return job.info\n"
    names: dict[str, Any] = {}
    exec(code, names)
    info = await names["example"](tmp_path)
    assert ("RUNNING", "node1") == (info.state.value, info.exec_host)


@pytest.mark.parametrize("cls", ["UniSpawner", "ProfilesSpawner", "SlurmSpawner"])
def test_no_private_name_of_jupyterhub_is_taken(cls: str) -> None:
    """Our classes do not replace a private attribute of JupyterHub's spawner by accident.

    Its pages ask for some of them: `_failed` is a server's, for example.
    """
    from jupyterhub.spawner import Spawner
    from traitlets.config import LoggingConfigurable

    private = {name for name in vars(Spawner) if name.startswith("_")}
    private -= {*vars(LoggingConfigurable), *(name for name in private if "_default" in name)}
    mine = [
        one
        for one in getattr(unispawner, cls).__mro__
        if one.__module__.startswith("unispawner") and one.__module__ != BOOKKEEPING
    ]
    assert set() == {name for one in mine for name in vars(one)} & private


BOOKKEEPING = "unispawner.web.bookkeeping"
"""It replaces `_run_apply_user_options`, the one way to check what that sets."""
