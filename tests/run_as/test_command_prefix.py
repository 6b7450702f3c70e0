"""How a site's own command becomes the user, read from its text."""

from __future__ import annotations

import shlex

import pytest

from unispawner.run_as.command_prefix import run_like, split_prefix

AGENT = shlex.join(["/opt/my py/bin/python", "-I"])
NESTED = shlex.quote(AGENT)


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("sudo -E -u alice sbatch --parsable", f"sudo -E -u alice {AGENT}"),
        ("/usr/bin/sudo -nEu alice -H -- sbatch", f"/usr/bin/sudo -nEu alice -H -- {AGENT}"),
        ("sudo -E -u 'al ice' sbatch", f"sudo -E -u 'al ice' {AGENT}"),
        ("sudo --user alice --preserve-env=A,B sbatch", None),
        ("sudo --user=alice X=1 sbatch", f"sudo --user=alice X=1 {AGENT}"),
        ("cd /x && CONF=/y sudo -iu alice sbatch </dev/stdin", f"CONF=/y sudo -iu alice {AGENT}"),
        ("sed s/a/b/ | sudo -u alice sbatch | tail -1", f"sudo -u alice {AGENT}"),
        ("ssh login1 sudo -u alice sbatch", f"ssh login1 sudo -u alice {AGENT}"),
        (
            "ssh login1 'sudo -u alice sbatch -x'",
            f"ssh login1 {shlex.quote(f'sudo -u alice {AGENT}')}",
        ),
        ("sudo -u alice bash -lc 'sbatch --x'", f"sudo -u alice {AGENT}"),
        ("su - alice -c 'sbatch --parsable'", f"su - alice -c {NESTED}"),
        ("su -c sbatch alice", f"su alice -c {NESTED}"),
        ("su -lc sbatch alice", f"su -l alice -c {NESTED}"),
        ("su alice --command='sbatch -x'", f"su alice -c {NESTED}"),
        ("runuser -u alice -- sbatch", f"runuser -u alice -- {AGENT}"),
        ("runuser -l alice -c sbatch", f"runuser -l alice -c {NESTED}"),
        ("setpriv --reuid=alice --regid alice --init-groups sbatch", None),
        ("doas -u alice sbatch", f"doas -u alice {AGENT}"),
        ("nice -n 5 gosu alice sbatch", f"nice -n 5 gosu alice {AGENT}"),
    ],
)
def test_commands_that_become_the_user(command: str, expected: str | None) -> None:
    """The other command stands where the site's own command is, behind the same options."""
    assert (expected or f"{command.removesuffix('sbatch')}{AGENT}") == run_like(command, AGENT)


@pytest.mark.parametrize(
    "command",
    [
        *("sbatch --parsable", "sbatch -A su", "sudo", "su alice", "sudo -u alice 'sbatch", ""),
        *("# sudo -u alice sbatch", 'echo "sudo -u alice"; sbatch', "sudo -u alice; sbatch"),
    ],
)
def test_commands_that_do_not(command: str) -> None:
    """A command that runs as whoever starts it has no such part."""
    assert run_like(command, AGENT) is None


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (
            "sudo -E -u {username} sbatch --parsable",
            (["sudo", "-E", "-u", "{username}"], ["sbatch", "--parsable"]),
        ),
        (
            "/usr/bin/sudo --user={username} -- squeue -o '%T %B'",
            (["/usr/bin/sudo", "--user={username}", "--"], ["squeue", "-o", "%T %B"]),
        ),
        ("sbatch --parsable", None),
        ("ssh login1 sudo -u {username} sbatch", None),
        ("sudo -u {username} sbatch | tail -n 1", None),
        ("su - {username} -c 'sbatch --parsable'", None),
        ("sudo -u {username}", None),
    ],
)
def test_a_command_and_its_prefix(
    command: str, expected: tuple[list[str], list[str]] | None
) -> None:
    """A command that does nothing else than become a user and run a program is split in two."""
    assert expected == split_prefix(command)
