"""Changes in the text of a configuration: names, comments and sections."""

from __future__ import annotations

import pytest

from unispawner.admin.migrate.old_file import OldFile


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("import batchspawner", "import unispawner"),
        ("import os, batchspawner, wrapspawner", "import os, unispawner"),
        ("import batchspawner.batchspawner as b", "import unispawner as b"),
        ("from batchspawner import SlurmSpawner as S", "from unispawner import SlurmSpawner as S"),
        ("from batchspawner import *", "from unispawner.legacy import *"),
        ("from wrapspawner import *", "from unispawner import ProfilesSpawner, WrapSpawner"),
        ("from batchspawner import (\n    SlurmSpawner,\n)", "from unispawner import SlurmSpawner"),
        ("from batchspawner import NoSuch", "from batchspawner import NoSuch"),
        ("x = 'batchspawner.SlurmSpawner'", 'x = "unispawner.SlurmSpawner"'),
        ("x = 'wrapspawner.wrapspawner.WrapSpawner'", 'x = "unispawner.WrapSpawner"'),
        ("x = 'batchspawner.NoSuch'", "x = 'batchspawner.NoSuch'"),
        ("x = 'see batchspawner.SlurmSpawner'", "x = 'see batchspawner.SlurmSpawner'"),
        ("class A(batchspawner.SlurmSpawner): pass", "class A(unispawner.SlurmSpawner): pass"),
        (
            "x = batchspawner.batchspawner.SlurmSpawner",
            "x = unispawner.SlurmSpawner",
        ),
        ("x = 'ü'; y = batchspawner.JobStatus", "x = 'ü'; y = unispawner.JobStatus"),
        ("# batchspawner stays in comments", "# batchspawner stays in comments"),
    ],
)
def test_names(old: str, new: str) -> None:
    """batchspawner's and wrapspawner's names become unispawner's where it has them."""
    file = OldFile(old)
    replaced = file.replace_names()
    assert new == file.result()
    assert (old != new) == bool(replaced)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("c.S.a = 1", "#old# c.S.a = 1"),
        ("c.S.a = '''\nx\n'''\ny = 1", "#old# c.S.a = '''\n#old# x\n#old# '''\ny = 1"),
        ("c.S.a = 1\nc.S.a += 1", "#old# c.S.a = 1\n#old# c.S.a += 1"),
        ("c.S.a.append(1)", "#old# c.S.a.append(1)"),
        ("c.S.a['x'] = 1", "#old# c.S.a['x'] = 1"),
        ("config = get_config()\nconfig.S.a = 1", "config = get_config()\n#old# config.S.a = 1"),
        ("c.S.b = 1", "c.S.b = 1"),
        ("other.S.a = 1", "other.S.a = 1"),
        # These do more than set it.
        ("c.S.a = x = 1", "c.S.a = x = 1"),
        ("c.S.a = 1; x = 2", "c.S.a = 1; x = 2"),
        ("if x:\n    c.S.a = 1", "if x:\n    c.S.a = 1"),
        ("c.S.b = c.S.a", "c.S.b = c.S.a"),
        ("c.S.a = 1\nif x:\n    c.S.a = 2", "c.S.a = 1\nif x:\n    c.S.a = 2"),
    ],
)
def test_a_setting_becomes_a_comment(old: str, new: str) -> None:
    """All statements that set it, or none: the rest of the file must still run."""
    file = OldFile(old)
    file.comment_out("S", "a")
    assert new == file.result()


def test_a_setting_for_another_class() -> None:
    """The section's name is replaced wherever the setting is."""
    file = OldFile("c.Slurm.a = c.Slurm.b\nif x:\n    c.Slurm.a.append(1)\n")
    file.change_section("Slurm", "a", "UniSpawner")
    assert "c.UniSpawner.a = c.Slurm.b\nif x:\n    c.UniSpawner.a.append(1)\n" == file.result()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("c.S.a = '4G'", ""),
        ("c.S.a = ['x', 1]", ""),
        ("c.S.a.append(1)", ""),
        ("import os\nc.S.a = os.environ['A']", "Line 2 of the old file computes c.S.a"),
        ("if x:\n    c.S.a = 1", "Line 2 of the old file does more than set c.S.a"),
        ("load_subconfig('x')", "No line of the old file sets c.S.a"),
    ],
)
def test_where_a_value_comes_from(text: str, words: str) -> None:
    """A value that is not written down may be another one tomorrow, so the reader is warned."""
    assert words == OldFile(text).explain_origin("S", "a")
