"""How the wrapper's path gets into a site's script, and what is saved about the private files."""

from __future__ import annotations

import pytest

from unispawner.errors import InvalidJobError
from unispawner.legacy.private_files import add_variables, own_programs, run_wrapper
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


OWN = "/opt/bin/batchspawner-singleuser"


def test_a_program_of_batchspawners_own() -> None:
    """A script that calls batchspawner's program by its path keeps the call if the program exists
    and the script has the server's variables; otherwise our wrapper takes its place. The name in a
    comment or in a printed line changes nothing."""
    script = f"# {CMD}\necho 'start: {CMD}'\n[ -x {OWN} ] && {OWN} jupyterhub-singleuser\n"
    kept = run_wrapper(script, PATH, CMD, has_variables=True)
    assert script.splitlines()[2] == kept.splitlines()[2]
    for changed in (
        run_wrapper(script, PATH, CMD, has_variables=True, missing=[OWN]),
        run_wrapper(script, PATH, CMD),
    ):
        assert f"[ -x {PATH} ] && {PATH} jupyterhub-singleuser" == changed.splitlines()[2]
    assert {OWN} == own_programs(script)


@pytest.mark.threat(
    who="user",
    tries="They send long texts that take ever longer to search.",
    stopped_by="A script is searched with about as many steps as it has characters.",
)
@pytest.mark.parametrize(
    "text",
    [
        "@" * 10**6,
        "\n" * 10**6,
        "singularity exec " + "run -x " * 10**5,
        "a=\\\n" * 10**5,
        "<<a\n" * 10**4,
        '"\n' + "x\n" * 10**5,
    ],
)
def test_a_long_text_of_a_users(text: str) -> None:
    """A script with a long text of a user's is read with about as many steps as it has characters:
    the Hub does nothing else meanwhile, and with more steps this test would take hours."""
    script = f"#!/bin/sh\n{text}/opt/batchspawner-singleuser\n"
    assert own_programs(script) <= {"/opt/batchspawner-singleuser"}
    assert script == run_wrapper(script, PATH, CMD, has_variables=True)


def test_a_program_that_is_named_too_often() -> None:
    """A script that names the program a hundred times is refused: each place is looked at."""
    with pytest.raises(InvalidJobError, match="more than 100 times"):
        run_wrapper("/opt/batchspawner-singleuser\n" * 101, PATH, CMD)
    with pytest.raises(InvalidJobError, match="more than 100 times"):
        run_wrapper(f"{CMD}\n" * 101, PATH, CMD)


def test_a_path_with_a_variable() -> None:
    """A path of the program that has a variable in it stays, because it can be anything; so do
    other names that the program's name is a part of."""
    for script in (
        "$VENV/bin/batchspawner-singleuser jupyterhub-singleuser",
        "${X}/batchspawner-singleuser a",
        "my-batchspawner-singleuser a; batchspawner-singleuser.sif",
    ):
        assert script == run_wrapper(script, PATH, CMD, has_variables=True)
        assert set() == own_programs(script)


def test_a_program_of_the_sites_own() -> None:
    """A script that starts the server and reports its port by itself stays as it is, if it has the
    server's variables."""
    script = '#!/bin/sh\ncurl -d "{}" $JUPYTERHUB_API_URL/batchspawner\n'
    assert script == run_wrapper(script, PATH, CMD, has_variables=True)
    assert script == run_wrapper(script, PATH, "", has_variables=True)


def test_a_container_without_the_users_folders() -> None:
    """Where the container has not the user's home, the image's own batchspawner-singleuser runs;
    where the home is mounted, our wrapper runs."""
    script = f"docker run -e JUPYTERHUB_API_TOKEN image {CMD}"
    assert script == run_wrapper(script, PATH, CMD, has_variables=True)
    assert set() == own_programs(f"docker run image {OWN} x")
    mounted = f"docker run -v /home:/home image {CMD}"
    expected = f"docker run -v /home:/home image {PATH} jupyterhub-singleuser --a"
    assert expected == run_wrapper(mounted, PATH, CMD, has_variables=True)


def test_the_line_that_reads_the_variables() -> None:
    """The line has the path of the private file and nothing that is secret, and comes before the
    script's first command."""
    lines = add_variables("#!/bin/sh\n#BSUB -q x\nset -eu\n", PATH).splitlines()
    folder = PATH.rpartition("/")[0]
    assert lines[2].startswith(f"test -r {folder}/variables && . {folder}/variables || echo ")
    assert ["#!/bin/sh", "#BSUB -q x", "set -eu"] == lines[:2] + lines[3:]


def test_saved_state() -> None:
    """The saved state is loaded unchanged; the state of batchspawner or of another version is no
    server."""
    saved = SavedState(mark="0123456789abcdef", account="alice", token_id=3, port=5000)
    assert saved == SavedState.from_dict(saved.to_dict())
    assert {} == SavedState().to_dict()
    for other in (None, {}, {"version": 99, "mark": "x"}, "text"):
        assert SavedState() == SavedState.from_dict(other)
