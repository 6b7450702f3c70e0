"""What a user can see of other users' jobs: all listings, processes and files."""

from __future__ import annotations

import asyncio
import os
import shlex
import time

from support.clusters import Cluster, run

LOOK_AROUND = r"""
import glob, os, stat, sys
wanted = sys.stdin.read().split()
since = float(sys.argv[1])
def changed(path):
    try:
        found = os.stat(path)
    except OSError:
        return False
    return stat.S_ISREG(found.st_mode) and found.st_size < 50_000_000 and found.st_ctime >= since
def has(path):
    try:
        with open(path, "rb") as file:
            text = file.read()
    except OSError:
        return
    for word in wanted:
        if word.encode() in text:
            print(path)
for name in ("cmdline", "environ", "comm", "status"):
    for path in glob.glob(f"/proc/[0-9]*/{name}"):
        has(path)
for folder in sys.argv[2:]:
    for where, folders, names in os.walk(folder):
        folders[:] = set(folders) - {"site-packages", "node_modules"}
        for name in names:
            path = os.path.join(where, name)
            if changed(path):
                has(path)
"""
"""Prints the paths of processes and files that contain one of the words on standard input. Files
that were last changed before the time in the first argument are skipped."""

BEFORE_ANY_SECRET = time.time() - 5
"""Tests make up their secrets after this moment, so no older file can have one. Some seconds are
allowed for a file system with another clock. Reading a whole virtual environment would take most of
a test's time."""


def look_around(user: str, words: list[str], folders: list[str]) -> list[str]:
    """Return the paths of files and processes in which a user can find one of these words."""
    since = str(BEFORE_ANY_SECRET)
    command = shlex.join(["/usr/bin/python3", "-I", "-c", LOOK_AROUND, since, *folders])
    return run("/bin/sh", "-c", command, user=user, stdin="\n".join(words)).splitlines()


async def assert_hidden(cluster: Cluster, job_id: str, words: list[str]) -> None:
    """Assert that bob can see none of these words: not in the listings of the scheduler's commands,
    not in the arguments or environment of a process, not in a file of the nodes' spool folders, the
    users' homes or the usual temporary folders."""
    listed = 0
    for command in cluster.listings(job_id):
        text = await asyncio.to_thread(run, *command, user="bob", check=False)
        assert [] == [word for word in words if word in text], command
        listed += job_id in text
    assert listed, "none of the listings was of this job"

    folders = [cluster.folder, "/home", "/tmp", "/var/tmp", "/var/spool", "/var/log", "/run"]
    folders = [folder for folder in folders if os.path.isdir(folder)]
    assert [] == await asyncio.to_thread(look_around, "bob", words, folders)


async def assert_seen_by_alice(path: str, words: list[str]) -> None:
    """Assert that the same search finds the words where alice may read them: in this file and in a
    process's environment, but in no process's arguments."""
    seen = await asyncio.to_thread(look_around, "alice", words, ["/home/alice/.unispawner"])
    assert path in seen
    assert any(one.startswith("/proc/") and one.endswith("/environ") for one in seen)
    assert not any(one.endswith("/cmdline") for one in seen)
