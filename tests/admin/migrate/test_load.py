"""How a configuration file is run, without batchspawner and wrapspawner."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

import unispawner
from unispawner.admin.migrate.load import load_new, load_old
from unispawner.admin.migrate.names import MODULES, NAMES, counterpart
from unispawner.errors import InvalidJobError


def write(folder: Path, text: str) -> Path:
    path = folder / "jupyterhub_config.py"
    path.write_text(f"c = get_config()\n{text}")
    return path


def test_every_counterpart_is_public() -> None:
    """A migrated file imports from ``unispawner``, so every name must be there."""
    assert {*NAMES} <= {*unispawner.__all__}
    assert unispawner.WrapSpawner is counterpart("WrapSpawner")
    assert counterpart("UniSpawner") is None


@pytest.mark.parametrize(
    "line",
    [
        "from batchspawner import SlurmSpawner as Site",
        "from batchspawner.batchspawner import SlurmSpawner as Site",
        "import batchspawner; Site = batchspawner.SlurmSpawner",
        "import batchspawner.batchspawner as b; Site = b.SlurmSpawner",
        "from batchspawner import *; Site = SlurmSpawner",
        "from wrapspawner import WrapSpawner as Site",
        "from wrapspawner.wrapspawner import ProfilesSpawner as Site",
        "import wrapspawner; Site = wrapspawner.ProfilesSpawner",
        "from wrapspawner import *; Site = ProfilesSpawner",
    ],
)
def test_the_old_file_gets_our_classes(tmp_path: Path, line: str) -> None:
    """However it imports them; afterwards the real modules are what they were."""
    before = {name: sys.modules.get(name) for name in MODULES}
    config = load_old(write(tmp_path, f"{line}\nc.JupyterHub.spawner_class = Site\n")).config
    assert config.JupyterHub.spawner_class.__module__.startswith("unispawner.")
    assert before == {name: sys.modules.get(name) for name in MODULES}


@pytest.mark.parametrize("module", ["batchspawner", "wrapspawner", "batchspawner.batchspawner"])
def test_the_new_file_cannot_import_them(tmp_path: Path, module: str) -> None:
    """A Hub without batchspawner must be able to load the file, even if this host has it."""
    with pytest.raises(InvalidJobError, match="line 2: ModuleNotFoundError"):
        load_new(write(tmp_path, f"import {module}\n"), tmp_path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("\nraise KeyError('SITE')\n", "line 3: KeyError: 'SITE'"),
        ("def fail():\n    1 / 0\n\nfail()\n", "line 3: ZeroDivisionError: division by zero"),
        ("import json\njson.loads('x')\n", "line 3: JSONDecodeError: Expecting value"),
        (
            "import sys\nsys.exit('no')\n",
            "line 3: SystemExit: the file ends the program itself: no",
        ),
        ("x = (\n", "line 2: SyntaxError: '(' was never closed"),
        ("from batchspawner import NoSuch\n", "line 2: ImportError: cannot import name 'NoSuch'"),
        ("import batchspawner\nbatchspawner.NoSuch\n", "no counterpart of batchspawner.NoSuch"),
    ],
)
def test_the_error_names_the_line(tmp_path: Path, text: str, words: str) -> None:
    """The file is a program: whatever it raises is reported with the file's own last line."""
    with pytest.raises(InvalidJobError, match=re.escape(words)):
        load_old(write(tmp_path, text))


def test_what_the_file_prints_is_not_in_the_way(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It goes to standard error, since standard output may become a configuration."""
    load_old(write(tmp_path, "print('loading')\n"))
    assert ("", "loading\n") == capsys.readouterr()


def test_a_file_beside_it_is_found(tmp_path: Path) -> None:
    """A configuration may load another one from its own folder."""
    (tmp_path / "more.py").write_text("c.Spawner.http_timeout = 5\n")
    config = load_old(write(tmp_path, "load_subconfig('more.py')\n")).config
    assert 5 == config.Spawner.http_timeout
