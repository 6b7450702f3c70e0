"""A user's text that a program would read as commands once more ends the Hub's start."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest

from unispawner.errors import InvalidJobError
from unispawner.profiles import nested_commands
from unispawner.profiles.reading import read_profiles
from unispawner.profiles.shell_text import check_commands, check_words, fill_commands

READ_AGAIN = [
    ('bash -c "ls {value}"', "bash -c"),
    ("sh -c 'ls {value}'", "sh -c"),
    ("zsh -c {value}", "zsh -c"),
    ("/usr/bin/env -i /bin/bash -lc 'ls {value}'", "bash -c"),
    ("exec bash -l -c 'ls {value}'", "bash -c"),
    ("bash -c -e 'ls {value}'", "bash -c"),
    ("bash -o pipefail -c 'ls {value}'", "bash -c"),
    ("bash --rcfile /etc/x -c 'ls {value}'", "bash -c"),
    ("bash -c -- 'ls {value}'", "bash -c"),
    ("'bash' \"-c\" 'ls {value}'", "bash -c"),
    ("\\bash -c 'ls {value}'", "bash -c"),
    ("bash \\\n  -c 'ls {value}'", "bash -c"),
    ("bash 2>&1 >/dev/null -c 'ls {value}'", "bash -c"),
    ("$SHELL -c 'ls {value}'", "$SHELL -c"),
    ('"${SHELL}" -c "ls {value}"', "${SHELL} -c"),
    ("true && timeout 5 dash -c 'ls {value}' | cat", "dash -c"),
    ("(cd /; bash -c 'ls {value}')", "bash -c"),
    ("x=$(bash -c 'ls {value}')", "bash -c"),
    ('echo "a $(bash -c "ls {value}") b"', "bash -c"),
    ('bash -c "$(printf %s {value})"', "bash -c"),
    ("diff <(bash -c 'ls {value}') /dev/null", "bash -c"),
    ("case $0 in a) bash -c 'ls {value}';; esac", "bash -c"),
    ("srun apptainer exec i.sif bash -c 'ls {value}'", "bash -c"),
    ("bash <<< 'ls {value}'", "bash, which reads commands from its input"),
    ("bash -s <<< 'ls {value}'", "bash, which reads commands from its input"),
    ("echo ls {value} | sh", "sh, which reads commands from its input"),
    ("echo ls {value} | tee x | bash -x", "bash, which reads commands from its input"),
    ("su - ada -c 'ls {value}'", "su -c"),
    ("runuser ada --command='ls {value}'", "runuser --command"),
    ("python3 -c 'print(\"{value}\")'", "python3 -c"),
    ("python3.12 -Ic 'print(\"{value}\")'", "python3.12 -Ic"),
    ("perl -ne 'print \"{value}\"'", "perl -ne"),
    ("node -e 'x(\"{value}\")'", "node -e"),
    ("python3 -W ignore -c 'print(\"{value}\")'", "python3 -c"),
    ("awk '{ print \"{value}\" }'", "awk"),
    ("trap 'rm {value}' EXIT", "trap"),
    ("ssh node1 ls {value}", "ssh"),
    ("sudo -u ada nice -n 5 nohup timeout 5 setsid sh -c 'ls {value}'", "sh -c"),
    ("find . -exec sh -c 'ls {value}' ';'", "sh -c"),
    ("echo x | xargs -I% sh -c 'ls {value}'", "sh -c"),
    ("echo {value} | xargs -I% sh -c 'ls %'", "xargs sh"),
    ("echo {value} | xargs -n 1 ssh node1 ls", "xargs ssh"),
    ("env -S 'ls {value}'", "env -S"),
    ("env --split-string='ls {value}'", "env --split-string"),
    ("sbatch --wrap='ls {value}'", "sbatch --wrap"),
    ("bsub -q short ls {value}", "bsub"),
    ("watch ls {value}", "watch"),
    ("timeout 9 watch ls {value}", "watch"),
    ("parallel ls ::: {value}", "parallel"),
    ("sg staff 'ls {value}'", "sg"),
    ("su ada --command 'ls {value}'", "su --command"),
    ("tmux new-session -d 'ls {value}'", "tmux"),
    ("pdsh -w node1 ls {value}", "pdsh"),
    ("scp x node1:{value}", "scp"),
    ("rsync -a -e 'ssh {value}' x y", "rsync -e"),
    ("tar -x --to-command='ls {value}' -f x", "tar --to-command"),
    ("alias l='ls {value}'", "alias"),
    ("if true; then at now <<< 'ls {value}'; fi", "at, which reads commands from its input"),
    ("echo ls {value} | batch", "batch, which reads commands from its input"),
    ("echo ls {value} | bash -s x y", "bash, which reads commands from its input"),
    ("echo ls {value} | bash /dev/stdin", "bash, which reads commands from its input"),
    ("echo ls {value} | sh -", "sh, which reads commands from its input"),
    ("source /dev/stdin <<< 'ls {value}'", "source, which reads commands from its input"),
    ("source <(echo ls {value})", "source <(…)"),
    ("bash <(echo ls {value})", "bash <(…)"),
    ("vim -c 'e {value}' -c q", "vim -c"),
    ("gnuplot -e 'x = \"{value}\"'", "gnuplot -e"),
]
READ_ONCE = [
    "bash -c 'exec \"$1\"/bin/start' bash {value}",
    "bash -lc 'exec \"$@\"' bash {value} -c",
    "bash {value}/start.sh",
    "bash x.sh -c {value}",
    "bash x.sh <<< {value}",
    "echo {value} | bash x.sh",
    "bash -c 'true'; ls {value}",
    "bash -c 'true' && ls {value}",
    "(bash -c true); ls {value}",
    "echo 'bash -c' {value}",
    "module load {value}",
    "conda activate {value} # bash -c '{value}'",
    "conda install -c {value} x",
    "python3 {value}/x.py -c {value}",
    "python3 -m venv {value}",
    "python3 -c 'import sys; print(sys.argv[1])' {value}",
    "awk -v x={value} '{ print x }' file",
    "trap 'rm x' EXIT; ls {value}",
    "source {value}/bin/activate",
    "cat <<< {value} | sort",
    'x=$(ls {value}); echo "$x"',
    "echo what to watch: {value}",
    "sudo -u ada ls {value}",
    "env A={value} bash x.sh",
    "timeout 5 nice ls {value}",
    "echo {value} | xargs ls",
    "scp {value} node1:x",
    "rsync -a {value} node1:x",
    "sbatch --chdir={value} job.sh",
    "tar -C {value} -xf x",
]


@pytest.mark.parametrize(("commands", "reader"), READ_AGAIN)
def test_commands_that_read_it_once_more(commands: str, reader: str) -> None:
    """A text that a program would read as commands ends in an error that names the program and says
    what to write instead."""
    with pytest.raises(ValueError, match="can't stand in what ") as caught:
        check_commands(commands)
    message = str(caught.value)
    assert f"in what {reader} runs" in message
    assert message.endswith("as in bash -c 'exec \"$1\"/bin/start' bash {value}")


@pytest.mark.parametrize("commands", READ_ONCE)
def test_commands_that_read_it_once(commands: str) -> None:
    """A text that is an argument, or the name of a file, is allowed."""
    check_commands(commands)


@pytest.mark.parametrize(
    "part",
    [
        "sh -o ",
        "bash -x ",
        "su ",
        "python3 -W ",
        "awk -v ",
        "ssh-x -c ",
        "xargs ",
        "env -S x ",
        "true | ",
        "sh | ",
        "# x\n",
        "rsync ",
    ],
)
def test_each_word_is_looked_at_a_few_times(part: str) -> None:
    """Ten thousand words or commands are read in time that grows with their number, and without a
    deep recursion."""

    long = part * 10_000 + "true"
    script = f"true {{value}}; {long}"
    reads = 0
    original = nested_commands._Words._has

    def count(words: Any, place: int) -> bool:
        nonlocal reads
        reads += 1
        return original(words, place)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nested_commands._Words, "_has", count)
        nested_commands.find_in_script(script, "{value}")
        nested_commands.find_in_script(f"{long} {{value}}", "{value}")
        nested_commands.find_in_words([*long.split(), "{value}"], "{value}")
    assert reads < 200_000


def test_brackets_without_end() -> None:
    """Brackets in brackets in thousands are an error, and not a traceback."""
    with pytest.raises(ValueError, match="nested so deeply"):
        check_commands("ls {value} " + 5000 * "$(" + 5000 * ")")


@pytest.mark.threat(
    who="user",
    tries="They type a path that the shell of the administrator's bash -c runs as a command.",
    stopped_by="The Hub does not start with a text in such a place; as an argument it is data.",
)
def test_what_the_message_advises() -> None:
    """The way that the error advises hands over any text as it is."""
    text = "$(echo bad); `id` '\"\\ x"
    commands = fill_commands("bash -c 'printf %s \"$1\"' bash {value}", text)
    done = subprocess.run(["bash", "-c", commands], capture_output=True, text=True, timeout=20)
    assert (text, "", 0) == (done.stdout, done.stderr, done.returncode)


@pytest.mark.parametrize(
    ("words", "reader"),
    [
        (["bash", "-c", "exec {value}/bin/start"], "bash -c"),
        (["/bin/sh", "-lc", "{value}"], "sh -c"),
        (["env", "bash", "-c", "{value}"], "bash -c"),
        (["ssh", "node", "{value}"], "ssh"),
        (["bash", "-c", 'exec "$1"', "bash", "{value}"], ""),
        (["{value}/bin/start", "-c", "x"], ""),
    ],
)
def test_the_words_of_a_command(words: list[str], reader: str) -> None:
    """The words of cmd and args meet no shell, unless they themselves start one."""
    if reader:
        with pytest.raises(ValueError, match=f"in what {reader} runs"):
            check_words(words)
    else:
        check_words(words)


@pytest.mark.parametrize(
    "override",
    [
        {"prologue": "bash -c 'ls {value}'"},
        {"epilogue": "bash -c 'ls {value}'"},
        {"cmd": ["bash", "-c", "{value}"]},
        {"cmd": ["bash"], "args": ["-c", "{value}"]},
    ],
)
def test_a_profile_that_reads_it_once_more(override: dict[str, object]) -> None:
    """The Hub's start ends, and the error names the profile, the option and the setting."""
    option = {"value": {"example": "/x"}, "override": override}
    with pytest.raises(InvalidJobError, match=rf"own.*{next(iter(override))}.*bash -c"):
        read_profiles([{"display_name": "A", "options": {"own": option}}])
