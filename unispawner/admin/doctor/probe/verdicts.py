"""What the job's answers mean: each failure with its cause and its cure. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from ....job import JobInfo, JobState
from ...doctor.results import Outcome, Result
from ..weaknesses import read_version
from .addresses import HubAddress
from .answers import Answers, Finding

CLOCK_LOOK, CLOCK_WRONG = 5.0, 60.0
"""From how many seconds on a difference of clocks should be looked at, and is wrong."""
_SLOW = 20.0
"""How long (seconds) a shell's start, or a version, may take before it is worth a look."""
_MODULE = re.compile(r"(?m)(?:^|[;&|]|\bthen\b|\bdo\b)\s*(?:module|ml)\b")


@dataclass
class Journey:
    """What the doctor itself saw of the job.

    Attributes
    ----------
    hub
        Where the Hub of the configuration is.
    hub_runs
        True if something else had the Hub's port, so that the doctor listened on another one.
    hub_version
        The version of the Hub's JupyterHub.
    command, prologue
        The server's command and the prologue.
    timeout
        How long (seconds) everything might take.
    submit_seconds
        How long the submission took; None if there is no job.
    total_seconds
        How long everything took from the submission on.
    info
        What the scheduler said last about the job.
    timed_out
        True if the time was over.
    log_path
        Where the job's log is.
    log_seen
        True if the log existed on this side.
    log_read
        When the doctor first read that the job runs (Unix time).
    home_seen
        Whether a file that the node has made in the home is here, too; None if that was not tried.
    host_error, port_error, port_seconds
        Why the Hub refuses the host that the job reports, why it can't reach the port there, and
        how long that took.
    """

    hub: HubAddress
    hub_version: str
    command: Sequence[str]
    timeout: float
    prologue: str = ""
    hub_runs: bool = False
    submit_seconds: float | None = None
    total_seconds: float = 0.0
    info: JobInfo | None = None
    timed_out: bool = False
    log_path: str = ""
    log_seen: bool = False
    log_read: float = 0.0
    home_seen: bool | None = None
    host_error: str = ""
    port_error: str = ""
    port_seconds: float | None = None
    answers: Answers = field(default_factory=Answers)


def judge(journey: Journey) -> Iterator[Result]:
    """Yield what the probe has found, after the submission."""
    begun = journey.answers.get("begun")
    yield from _judge_queue(journey, begun)
    if begun is None:
        if reached := _judge_beginning(journey):
            yield reached
        if journey.answers.before:
            yield _judge_noise(journey.answers)
        return
    yield from _judge_folders(journey)
    yield from _judge_shell(journey, begun)
    yield from _judge_program(journey)
    yield from _judge_way_to_hub(journey)
    yield from _judge_way_to_node(journey)
    yield from _judge_clock(journey)
    yield from _judge_end(journey)


def _ok(name: str, text: str) -> Result:
    return Result(f"probe.{name}", f"probe {name}", Outcome.OK, text)


def _look(name: str, text: str, cure: str) -> Result:
    return Result(f"probe.{name}", f"probe {name}", Outcome.LOOK, text, cure)


def _wrong(name: str, text: str, cure: str) -> Result:
    return Result(f"probe.{name}", f"probe {name}", Outcome.WRONG, text, cure)


# -- the queue, and the beginning of the job's script ----------------------------------------------


def _judge_queue(journey: Journey, begun: Finding | None) -> Iterator[Result]:
    info = journey.info
    if begun is not None:
        yield _ok("queue", f"the job runs on {begun.text}")
        return
    state = info.state if info else JobState.UNKNOWN
    if state in (JobState.QUEUED, JobState.HELD):
        reason = f": {info.message}" if info and info.message else ""
        yield _wrong(
            "queue",
            f"the job still waits {journey.timeout:g} s after its submission{reason}",
            "Choose a queue, a time limit and resources that are free now, or give --timeout more "
            "seconds; the scheduler's reason says which",
        )
    elif info is None:
        yield _wrong(
            "queue",
            f"the scheduler has not said anything about the job within {journey.timeout:g} s",
            "Check that the Hub's account sees the jobs of other accounts (the line query)",
        )
    else:
        where = f" on {info.exec_host}" if info.exec_host else ""
        yield _ok("queue", f"the scheduler has started the job{where}")


def _judge_beginning(journey: Journey) -> Result | None:
    """Return why a job that was started has not reached the probe."""
    info, answers = journey.info, journey.answers
    if info is None or info.state in (JobState.QUEUED, JobState.HELD):
        return None
    status = "" if info.exit_code is None else f" with status {info.exit_code}"
    message = f" ({info.message})" if info.message and status else ""
    end = f"ended{status}{message}" if info.state.final else "still runs, and has said nothing"
    if answers.get("shell"):
        words = _quote([*answers.between, *answers.after])
        return _wrong(
            "script",
            f"the job {end}; it reached c.UniSpawner.prologue, and not the launcher{words}",
            "Correct the prologue, which must not end the shell; or, if the log says so, set "
            "c.UniSpawner.launcher_python to a Python 3.6 or later of the nodes",
        )
    if journey.log_seen and answers.before:
        return _wrong(
            "script",
            f"the job {end} before its prologue{_quote(answers.before)}",
            "If the log names a file below c.UniSpawner.state_dir, the node does not see the files "
            "that the Hub's side has written: set state_dir to a folder that both share. Else "
            "correct what the start-up files of the job's shell do (/etc/profile.d, ~/.profile, "
            "~/.bash_profile)",
        )
    return _wrong(
        "state_dir",
        f"the job {end}, and there is no output of it in {journey.log_path or 'its log'} on this "
        "side",
        "Set c.UniSpawner.state_dir, and log_dir if it is set, to a folder that the nodes and the "
        "submit host share, and that the account can write on both; if it is shared, look whether "
        "the nodes have c.UniSpawner.job_shell, and ask the scheduler why the job's script could "
        "not begin",
    )


def _quote(lines: Sequence[str]) -> str:
    return f"; its log: {' | '.join(lines)}" if lines else "; its log has no other line"


# -- folders, shell, program -----------------------------------------------------------------------


def _judge_folders(journey: Journey) -> Iterator[Result]:
    answers = journey.answers
    if journey.log_seen:
        yield _ok("state_dir", "the node has read and written files there, and so has this side")
    else:
        yield _wrong(
            "state_dir",
            f"the job runs, but its log {journey.log_path} is not on this side, so users never "
            "see why a server has failed",
            "Set c.UniSpawner.log_dir, or state_dir, to a folder that the nodes and the submit "
            "host share",
        )
    home = answers.get("home")
    if home is None:
        return
    if not home.ok:
        missing = home.kind == "missing"
        yield _wrong(
            "home",
            f"the node has no folder {home.text or 'HOME'}"
            if missing
            else f"the account can't write to its home on the node: {home.text}",
            "Mount the homes on the nodes, too; if they can have none, set "
            "c.UniSpawner.directory and state_dir to folders that they have"
            if missing
            else "Check the quota of the account and how the node mounts the homes",
        )
    elif journey.home_seen is False:
        yield _wrong(
            "home",
            f"a file that the node has made in {home.text} is not in the home on this side: they "
            "are different folders",
            "Mount the same homes on the nodes and the submit host; else users do not find on "
            "one what they have saved on the other",
        )
    else:
        yield _ok("home", f"{home.text} is there and can be written")


def _judge_shell(journey: Journey, begun: Finding) -> Iterator[Result]:
    answers = journey.answers
    if answers.before:
        yield _judge_noise(answers)
    elif begun.seconds > _SLOW:
        yield _look(
            "shell",
            f"the job's shell and the prologue took {begun.seconds:.1f} s",
            "Look for what is slow in /etc/profile.d, ~/.bash_profile and the prologue, such as "
            "a conda activation or a module on a slow file system",
        )
    else:
        yield _ok("shell", f"it begins quietly, with the prologue in {begun.seconds:.1f} s")
    shell = answers.get("shell")
    if _MODULE.search(journey.prologue) and shell is not None:
        if shell.text == "module":
            yield _ok("module", "the job's shell has it")
        else:
            yield _wrong(
                "module",
                "c.UniSpawner.prologue uses the command module, which the job's shell does not "
                f"have{_quote(answers.between) if answers.between else ''}",
                "Set c.UniSpawner.job_shell to a login shell ('/bin/bash -l'), or begin the "
                "prologue with the file that defines it, such as '. /etc/profile.d/modules.sh'",
            )


def _judge_noise(answers: Answers) -> Result:
    return _look(
        "shell",
        f"the start-up files of the job's shell print: {' | '.join(answers.before)}",
        "Print only in interactive shells ('case $- in *i*) ... esac' in ~/.bash_profile or "
        "/etc/profile.d); an error there may also be why a server lacks something",
    )


def _judge_program(journey: Journey) -> Iterator[Result]:
    program, version = journey.answers.get("program"), journey.answers.get("version")
    name = journey.command[0]
    if program is None:
        return
    if not program.ok:
        yield _wrong(
            "singleuser",
            f"c.Spawner.cmd: the node has no command {name}"
            + ("" if "/" in name else f"; PATH there is {program.text}"),
            "Install jupyterhub and a server such as jupyterlab where the nodes see them, and set "
            "c.Spawner.cmd to the full path, or load them in c.UniSpawner.prologue",
        )
        return
    if version is None:
        if journey.answers.complete:
            yield _ok("singleuser", f"{program.text}; only jupyterhub-singleuser has a version")
        return
    if not version.ok:
        yield _wrong(
            "singleuser",
            f"c.Spawner.cmd: `{' '.join([*journey.command, '--version'])}` fails on the node: "
            f"{version.text or version.kind}",
            "Run it in a job of your own; a package may be missing there, or another file system "
            "be slow",
        )
        return
    yield _compare_versions(program.text, version, journey.hub_version)


def _compare_versions(path: str, version: Finding, hub: str) -> Result:
    theirs, ours = read_version(version.text), read_version(hub)
    text = f"{path} is of JupyterHub {version.text}"
    if theirs is None or ours is None or theirs[:2] == ours[:2]:
        if version.seconds > _SLOW:
            return _look(
                "singleuser",
                f"{text}, and took {version.seconds:.1f} s to say so",
                "Install it on a faster file system, such as the nodes' own disks: each start "
                "reads thousands of small files",
            )
        return _ok("singleuser", f"{text}, the Hub has {hub}")
    cure = f"Install jupyterhub {'.'.join(map(str, ours[:2]))} where the nodes see it"
    if theirs[0] == ours[0]:
        return _look("singleuser", f"{text}, but the Hub has {hub}", cure)
    return _wrong("singleuser", f"{text}, but the Hub has {hub}: servers may not log in", cure)


# -- the network -----------------------------------------------------------------------------------


def _judge_way_to_hub(journey: Journey) -> Iterator[Result]:
    """Judge the way to the Hub itself; without a Hub the doctor stands in its place."""
    answers = journey.answers
    prefix = "doctor-" if answers.get("same") else ""
    host = journey.hub.url
    for step in ("name", "connect", "tls", "http"):
        found = answers.get(prefix + step)
        if found is not None and not found.ok:
            yield _explain_way(step, found, journey)
            return
    steps = [answers.get(prefix + step) for step in ("name", "connect", "tls", "http")]
    name, _, tls, http = steps
    if http is None:
        return
    words = [f"the node reaches {host}"]
    words += [f"at {name.text}"] if name else []
    words += [f"with {tls.text}"] if tls else []
    if journey.hub_runs:
        yield _ok("hub", f"{' '.join(words)}; JupyterHub {http.text} answers there")
    else:
        yield _ok("hub", f"{' '.join(words)}; no Hub runs, so the doctor has answered there")
    if journey.hub_runs and not _came_here(answers):
        yield _look(
            "report",
            "the node does not reach the other port on which the doctor listens while the Hub "
            "runs, so a report with the token of a job was not tried",
            "Run this once while the Hub is stopped, if servers start and are not seen",
        )


def _came_here(answers: Answers) -> bool:
    return answers.arrived > 0


_SET_ADDRESS = (
    "set c.JupyterHub.hub_connect_ip, or hub_ip, to an address of this host on a network of the "
    "nodes"
)
_CONNECT = {
    "refused": (
        "nothing listens there for the node, or a firewall rejects it",
        "Set c.JupyterHub.hub_ip so that the Hub listens at that address, and open TCP port {port} "
        "of the Hub's host for the nodes in each firewall",
    ),
    "timeout": (
        "no answer comes, because a firewall drops it or the address is on another network",
        "Open TCP port {port} of the Hub's host for the nodes in each firewall between them; if "
        f"they have no way to this address, {_SET_ADDRESS}",
    ),
    "unreachable": (
        "the node has no route to it",
        f"{_SET_ADDRESS[0].upper()}{_SET_ADDRESS[1:]}, or give the nodes a route to it",
    ),
}
"""By how a connection fails: its cause and its cure."""


def _explain_way(step: str, found: Finding, journey: Journey) -> Result:
    url, host = journey.hub.url, found.text.partition(":")[0]
    if step == "name":
        return _wrong(
            "hub",
            f"DNS: the node can't resolve the name in {url}: {found.text}",
            "Set c.JupyterHub.hub_connect_ip, or hub_ip, to an address or to a name that the nodes "
            f"can resolve, or add {host} to their DNS",
        )
    if step == "connect":
        cause, cure = _CONNECT.get(found.kind, ("it does not say why", _CONNECT["unreachable"][1]))
        return _wrong(
            "hub",
            f"the node can't connect to {url} ({found.text}): {cause}",
            cure.format(port=journey.hub.port),
        )
    if step == "tls":
        return _wrong(
            "hub",
            f"TLS: the node does not accept the certificate at {url}, or is not accepted: "
            f"{found.text}",
            "Add the host in that address to c.JupyterHub.trusted_alt_names, remove the folder "
            "internal-ssl and start the Hub anew; check the node's clock, too",
        )
    return _wrong(
        "hub",
        f"what answers at {url} is no JupyterHub{f' ({found.text})' if found.text else ''}",
        "Correct c.JupyterHub.hub_connect_url and base_url, or what the web server before the Hub "
        "passes on; free the port if another program has it",
    )


def _judge_way_to_node(journey: Journey) -> Iterator[Result]:
    port = journey.answers.get("port")
    if port is None:
        return
    if not port.ok:
        yield _wrong(
            "port",
            f"a server can't listen on the node, or has no address there: {port.text}",
            "Correct c.UniSpawner.port_range, c.UniSpawner.report_host or c.Spawner.ip",
        )
        return
    where = f"{port.text} port {port.port}"
    if journey.host_error:
        yield _wrong("port", journey.host_error, "Correct c.UniSpawner.report_host or host_map")
    elif journey.port_error:
        yield _wrong(
            "port",
            f"the Hub does not reach {where}: {journey.port_error}",
            "Open the nodes' ports for the Hub's and the proxy's hosts: the range of "
            "c.UniSpawner.port_range, or all from 1024 on; or choose with "
            "c.UniSpawner.report_host an address on a network that they share",
        )
    elif journey.port_seconds is not None:
        yield _ok("port", f"the Hub reaches {where} in {journey.port_seconds * 1000:.0f} ms")


def _judge_clock(journey: Journey) -> Iterator[Result]:
    answers, begun = journey.answers, journey.answers.get("begun")
    if answers.arrived and answers.sent:
        difference = answers.sent - answers.arrived
    elif begun and begun.time and journey.log_read:
        difference = begun.time - journey.log_read
        if -CLOCK_WRONG < difference < CLOCK_LOOK:  # the log comes late
            return
    else:
        return
    text = f"the node's clock is {abs(difference):.0f} s {'ahead' if difference > 0 else 'behind'}"
    cure = "Synchronise the clocks of the nodes and the Hub (NTP, chrony)"
    if abs(difference) >= CLOCK_WRONG:
        yield _wrong("clock", f"{text}: certificates, tickets and the time left are wrong", cure)
    elif abs(difference) >= CLOCK_LOOK:
        yield _look("clock", text, cure)
    else:
        yield _ok("clock", f"it differs from the Hub's by {abs(difference):.1f} s")


def _judge_end(journey: Journey) -> Iterator[Result]:
    answers = journey.answers
    if not answers.complete:
        how = "was over" if journey.timed_out else "was not: the job ended"
        last = list(answers.found)[-1:]
        yield _wrong(
            "end",
            f"the probe did not finish within {journey.timeout:g} s (its time {how}); it last "
            f"reported {', '.join(last)}",
            "Give --timeout more seconds if the node is slow; else look at what comes next above",
        )
        return
    begun = answers.found["begun"]
    submit = journey.submit_seconds or 0.0
    found_out = sum(one.seconds for one in answers.found.values() if one is not begun)
    queue = max(0.0, journey.total_seconds - submit - begun.seconds - found_out)
    yield _ok(
        "time",
        f"{journey.total_seconds:.1f} s from submission to report: submit {submit:.1f} s, queue "
        f"{queue:.1f} s, boot (shell and prologue) {begun.seconds:.1f} s, report (the probe's own "
        f"questions) {found_out:.1f} s",
    )
