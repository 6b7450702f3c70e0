#!/usr/bin/python3 -I
"""qsub, qstat and qdel of a TORQUE that does not exist: jobs run on this host, as their submitter.

The answers are those of TORQUE 4.2.10, with the very text of tests/outputs/torque. One file is
installed under each of the names; files beside it have the data about jobs.
"""

import os
import re
import signal
import subprocess
import sys
from typing import NoReturn

HERE = os.path.dirname(os.path.abspath(__file__))
JOBS = os.path.join(HERE, "jobs")  # anybody may write there


def find(pattern: str, text: str) -> re.Match[str]:
    match = re.search(pattern, text, re.MULTILINE)
    assert match, pattern
    return match


def answer(name: str) -> str:
    with open(os.path.join(HERE, name), encoding="utf-8") as file:
        return find(r"^<Data>.*$", file.read())[0]


def pid_of(number: str) -> int | None:
    try:
        with open(os.path.join(JOBS, number), encoding="utf-8") as file:
            pid = int(file.read())
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return None if file.read().rpartition(")")[2].split()[0] in "ZX" else pid
    except (OSError, ValueError):
        return None


def unknown(number: str) -> NoReturn:
    sys.stderr.write(f"{os.path.basename(sys.argv[0])}: Unknown Job Id Error {number}.torquelab\n")
    sys.exit(153)


def qsub() -> None:
    script = sys.stdin.read()
    number = str(1 + max([0, *map(int, os.listdir(JOBS))]))
    names = find(r"^#PBS -v (\S+)", script)[1].split(",")
    missing = [name for name in names if name not in os.environ]
    if missing:
        sys.exit(f"qsub: {missing} not in the environment")
    environment = {name: os.environ[name] for name in names}
    environment.update(HOME=os.path.expanduser("~"), PATH="/usr/local/bin:/usr/bin:/bin")
    with open(os.path.join(JOBS, f"{number}"), "w", encoding="utf-8") as file:
        with open(os.path.join(environment["HOME"], f"torque.o{number}"), "w") as log:
            job = subprocess.Popen(
                ["/bin/sh", "-c", script],
                env=environment,
                cwd=environment["HOME"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        file.write(str(job.pid))
    print(f"{number}.torquelab")


def qstat() -> None:
    number = sys.argv[-1].partition(".")[0]
    if pid_of(number) is None:
        unknown(number)
    print(answer("qstat-x-one-running").replace("<Job_Id>2<", f"<Job_Id>{number}.torquelab<"))


def qdel() -> None:
    number = sys.argv[-1].partition(".")[0]
    pid = pid_of(number)
    if pid is None:
        unknown(number)
    os.killpg(pid, signal.SIGTERM)


{"qsub": qsub, "qstat": qstat, "qdel": qdel}[os.path.basename(sys.argv[0])]()
