"""The checks of ``unispawner doctor`` for batchspawner's classes."""

from __future__ import annotations

import pytest
from support.accounts import ordinary_account
from support.doctor import API, TORQUE, Doctor

from unispawner.admin.doctor.batchspawner import program


def test_a_legacy_class_that_is_right(doctor: Doctor) -> None:
    """A legacy class is checked with its own commands, templates and Python, and not with
    UniSpawner's settings."""
    status, lines = doctor(TORQUE)
    assert (0, "not checked: acting as a user (--account NAME checks it)") == (status, lines[0])
    commands = ", ".join(str(doctor.programs / name) for name in ("sudo", "qsub", "qstat", "qdel"))
    assert [
        f"ok      hub: TorqueSpawner, the API at {API}",
        "ok      job: the templates and patterns of TorqueSpawner are valid",
        f"ok      commands: {commands}",
        "ok      agent_python: /bin/sh is readable by users",
    ] == [line for line in lines[1:] if " security: " not in line]


@pytest.mark.parametrize(
    ("line", "check", "text"),
    [
        ('c.TorqueSpawner.req_que = "x"', "hub", "c.TorqueSpawner has no setting req_que"),
        ('c.BatchSpawnerBase.queue = "x"', "hub", "c.BatchSpawnerBase has no setting queue"),
        ('c.JupyterHub.hub_ip = "127.0.0.1"', "hub", "can't reach the Hub's API at 127.0.0.1"),
        ('c.TorqueSpawner.batch_script = "{cmd} {typo}"', "job", "there is no field 'typo'"),
        ('c.TorqueSpawner.state_running_re = "R("', "job", "is not a valid regular expression"),
        ('c.TorqueSpawner.agent_python = "/none/python"', "agent_python", "users can't read"),
        (
            'c.TorqueSpawner.batch_submit_cmd = "nosuch -q {queue}"',
            "commands",
            "c.TorqueSpawner.batch_submit_cmd: nosuch not found in ",
        ),
        (
            'c.TorqueSpawner.exec_prefix = "nosuch -u {username}"',
            "commands",
            "c.TorqueSpawner.exec_prefix: nosuch not found in ",
        ),
    ],
)
def test_what_is_wrong_with_a_legacy_class(
    doctor: Doctor, line: str, check: str, text: str
) -> None:
    """An error of a legacy class is one line that names the trait."""
    wrong = doctor.wrong(f"{TORQUE}\n{line}")
    assert wrong.startswith(f"WRONG   {check}: ")
    assert text in wrong


def test_programs_that_are_missing(doctor: Doctor) -> None:
    """One line lists all missing programs, each with its trait."""
    for name in ("qstat", "qdel"):
        (doctor.programs / name).unlink()
    wrong = doctor.wrong(TORQUE)
    traits = "c.TorqueSpawner.batch_query_cmd, c.TorqueSpawner.batch_cancel_cmd"
    assert f"{traits}: qstat, qdel not found in {doctor.programs}" in wrong


def test_programs_of_another_host(doctor: Doctor) -> None:
    """Programs that run on another host, behind a prefix such as ssh, are not checked."""
    for name in ("qsub", "qstat", "qdel", "sudo"):
        (doctor.programs / name).unlink()
    status, lines = doctor(f'{TORQUE}\nc.TorqueSpawner.exec_prefix = "ssh login1 sudo -u alice"')
    ssh = doctor.programs / "ssh"
    assert f"ok      commands: {ssh}; programs that run behind ssh are not checked" in lines
    assert 0 == status


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("qsub", "qsub"),
        ("/opt/pbs/bin/qstat -x {job_id}", "/opt/pbs/bin/qstat"),
        ("SGE_ROOT=/opt/sge qsub -V", "qsub"),
        ("  sudo -E -u {username}", "sudo"),
        ('condor_q {job_id} -format "%s, " JobStatus -format "\n" True', "condor_q"),
        ("{host}/qsub", ""),
        ("$BIN/qsub", ""),
        ("(cd /x; qsub)", ""),
        ('A="b c" qsub', ""),
        ("", ""),
        ("A=b", ""),
    ],
)
def test_the_program_of_a_command(command: str, expected: str) -> None:
    """The program of a command is the first word after assignments, if no shell is needed to find
    it."""
    assert expected == program(command)


def test_what_the_shell_has_built_in(doctor: Doctor) -> None:
    """A command that the shell has built in needs no file."""
    status, _ = doctor(f'{TORQUE}\nc.TorqueSpawner.batch_cancel_cmd = "exec qdel {{job_id}}"')
    assert 0 == status


def test_an_account_behind_exec_prefix(doctor: Doctor) -> None:
    """The agent runs behind exec_prefix as for a server; if the prefix does not lead to it, the
    error has the command that must work."""
    user = ordinary_account().pw_name
    doctor.program("false")
    (doctor.programs / "false").write_text("#!/bin/sh\nexit 1\n")
    config = f'{TORQUE}\nc.TorqueSpawner.exec_prefix = "false -u {{username}}"'
    status, lines = doctor(config, "--account", user)
    (wrong,) = [line for line in lines if line.startswith("WRONG   account: ")]
    assert f"exec_prefix does not let the Hub write {user}'s private files" in wrong
    assert f"`false -u {user} /bin/sh -I -m unispawner.agent` has to work" in wrong
    assert 1 == status


def test_a_script_that_finds_a_variable_empty(doctor: Doctor) -> None:
    """What the Hub's start warns of is pointed at, and is not wrong."""
    script = "#!/usr/bin/python3\nimport os; x = os.environ['JUPYTERHUB_API_TOKEN']\n{cmd}\n"
    status, lines = doctor(f"{TORQUE}\nc.TorqueSpawner.batch_script = {script!r}")
    assert 0 == status
    (line,) = [line for line in lines if line.startswith("look at script: ")]
    assert "JUPYTERHUB_API_TOKEN is empty there" in line


def test_a_class_that_the_file_defines(doctor: Doctor) -> None:
    """Its methods are in no module; its templates are checked all the same."""
    own = (
        "import unispawner\nclass Site(unispawner.TorqueSpawner):\n"
        "    async def submit_batch_script(self):\n"
        "        return await super().submit_batch_script()\n"
        "c.JupyterHub.spawner_class = Site\n"
    )
    status, lines = doctor(f"{TORQUE}\n{own}")
    assert 0 == status
    assert "ok      job: the templates and patterns of Site are valid" in lines
    assert "{typo}" in doctor.wrong(TORQUE + own + "c.Site.batch_cancel_cmd = 'qdel {typo}'")
