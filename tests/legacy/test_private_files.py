"""How the wrapper's path gets into a site's script, and what is saved about the private files."""

from __future__ import annotations

import pytest

from unispawner.errors import InvalidJobError
from unispawner.legacy.private_files import run_wrapper
from unispawner.schedulers.template_dialect import NAMES, read_dialect
from unispawner.script.filling import format_template
from unispawner.servers.state import SavedState

PATH = "/home/alice/.unispawner/legacy/jobs/0123456789abcdef/batchspawner-singleuser"
CMD = "batchspawner-singleuser jupyterhub-singleuser --a"


class Blank(dict[str, str]):
    def __missing__(self, key: str) -> str:
        return ""


@pytest.mark.parametrize("name", NAMES)
def test_our_own_scripts(name: str) -> None:
    """In each of our own scripts the wrapper's name is replaced, and nothing else."""
    text = read_dialect(name).script
    fields = Blank(cmd=CMD, srun="srun", homedir="/home/alice")
    if "{{" not in text:
        script = text.format_map(fields)
    else:
        script = format_template(text, **fields)
    assert CMD in script
    assert script.replace(CMD, f"{PATH} jupyterhub-singleuser --a") == run_wrapper(
        script, PATH, CMD
    )


def test_a_wrapper_of_the_sites_own() -> None:
    """A site's own wrapper, given by its path on the nodes, runs behind ours, which brings the
    environment."""
    command = "/opt/bin/batchspawner-singleuser jupyterhub-singleuser"
    assert f"srun {PATH} {command}\n" == run_wrapper(f"srun {command}\n", PATH, command)


def test_a_command_in_a_container() -> None:
    """The wrapper's name is replaced anywhere in a line."""
    script = f"singularity exec x.sif {CMD}"
    expected = f"singularity exec x.sif {PATH} jupyterhub-singleuser --a"
    assert expected == run_wrapper(script, PATH, "singularity …")


def test_a_script_that_runs_no_server() -> None:
    """A script without {cmd} is refused; the error says so and shows the script."""
    with pytest.raises(InvalidJobError, match=r"the script has no \{cmd\}") as raised:
        run_wrapper("#!/bin/sh\nsleep 10", PATH, CMD)
    assert "sleep 10" in str(raised.value)


def test_saved_state() -> None:
    """The saved state is loaded unchanged; the state of batchspawner or of another version is no
    server."""
    saved = SavedState(mark="0123456789abcdef", account="alice", token_id=3, port=5000)
    assert saved == SavedState.from_dict(saved.to_dict())
    assert {} == SavedState().to_dict()
    for other in (None, {}, {"version": 99, "mark": "x"}, "text"):
        assert SavedState() == SavedState.from_dict(other)
