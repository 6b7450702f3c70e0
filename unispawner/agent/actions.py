"""The actions of the agent, each a function ``action(request, account)``.

An action returns JSON-serialisable data or raises a UniSpawnerError. ``account`` is the passwd
entry of the user.
"""

from __future__ import annotations

import contextlib
import grp
import hashlib
import json
import os
import pwd
import re
import shutil
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import AgentError, SchedulerUnavailable, UniSpawnerError
from ..job import MARK_VARIABLE, JobInfo, JobSpec, is_mark, probe_file
from ..schedulers import Scheduler, get_scheduler, plain
from ..schedulers.base import CommandNotFound
from ..schedulers.reading import find_mentioned, quote_lines
from ..schedulers.usage import NO_ACCOUNTING, EndedJob
from ..script.from_template import launcher_options, runs_launcher, writes_log
from ..script.rendering import launcher_source, render_environment, render_script
from ..script.variables import READER, render_reader, render_variables
from .commands import hold_dialogue
from .estimate import ask_for_start
from .files import LOGS_KEPT, StateDir, read_environment, read_private, write_private
from .login import login_umask
from .paths import check_path
from .wrapper import write_wrapper

Request = Mapping[str, Any]
CERTIFICATES: Mapping[str, str] = {
    "keyfile": "JUPYTERHUB_SSL_KEYFILE",
    "clientfile": "UNISPAWNER_CLIENT_CERTIFICATE",
    "cafile": "JUPYTERHUB_SSL_CLIENT_CA",
}
"""The variables in which the launcher and the server find the files of ``internal_ssl``.

JUPYTERHUB_SSL_CERTFILE, JupyterHub's own name, comes from the launcher: the server's certificate is
made when its node is known.
"""
Account = pwd.struct_passwd

STALE_AFTER = 600.0
"""The age (seconds) at which the sweep checks a job's files: no submission takes that long."""
MOST_MARKED = 500
"""How many jobs with a mark one answer may have."""
ABANDONED_AFTER = 60 * 86400.0
"""The age (seconds) at which a job's files are removed where no scheduler can be asked about it, or
another one would have to be."""


def submit(request: Request, account: Account) -> dict[str, str]:
    """Submit the job ``spec`` with the shell ``shell``; return its ``job_id`` and ``log``.

    The request may have ``certificates``, the files of ``internal_ssl``: see CERTIFICATES. And
    ``environment_of``, the mark of the user's job whose environment the new one gets.
    """
    with _before_submission():
        scheduler = _scheduler(request)
        spec = JobSpec.from_dict(request["spec"])
        scheduler.check_supported(spec)
        state = _state(request)
        cluster = _identify_cluster(request, scheduler)
    _sweep(state, scheduler, cluster, account.pw_name)
    try:
        directory = _write_files(request, spec, scheduler, state)
        write_private(directory / "cluster", cluster)
        spec = _fill_places(spec, state, account)
        script = render_script(
            spec,
            scheduler,
            shell=request["shell"],
            environment_file=str(directory / "environment"),
            standard_input=launcher_source(),
            username=account.pw_name,
            homedir=account.pw_dir,
        )
        if (dialect := scheduler.dialect) is not None:  # then the site's script runs a wrapper
            log = "" if writes_log(dialect) else spec.stdout_path
            options = launcher_options(spec)[0] if runs_launcher(spec) else None
            write_wrapper(directory, spec.executable, options, log=log)
        job_id = _executor(scheduler).submit_script(spec, script, directory)
    except OSError as error:
        state.remove_job(spec.mark)
        with _before_submission():
            raise _write_error(error, state) from None
    except (SchedulerUnavailable, AgentError):
        raise  # the scheduler may have taken the job: the Hub searches it, and cleans up if not
    except UniSpawnerError:
        state.remove_job(spec.mark)
        state.log(spec.mark).unlink(missing_ok=True)
        raise
    with contextlib.suppress(OSError):  # the job exists, and can be found by its mark as well
        write_private(directory / "job_id", job_id)
    return {"job_id": job_id, "log": spec.stdout_path}


def _write_files(request: Request, spec: JobSpec, scheduler: Scheduler, state: StateDir) -> Path:
    """Make a job's private folder with its environment and certificates, and return the folder."""
    environment = _with_mark(spec.environment, spec.mark)
    certificates = _certificates(request, state.job(spec.mark))
    environment.update({name: str(path) for name, path, _ in certificates})
    if before := str(request.get("environment_of", "")):
        text = _copy_environment(state, before, spec.mark)
    elif scheduler.dialect is not None:  # then the site's script reads it, and a wrapper again
        text = render_variables(environment, spec.mark)
    else:
        text = render_environment(environment)
    directory = state.create_job(spec.mark, text)
    for _, path, content in certificates:
        write_private(path, content)
    return directory


def _copy_environment(state: StateDir, before: str, mark: str) -> str:
    """Return the environment file of another job of the user's for the job with this mark.

    The Hub can't make the file anew: it does not keep the token of a server. The first job's mark
    is in it as a value and in the paths of certificates, and the second has files of these names.
    """
    with _before_submission():
        path = state.job(before) / "environment"
        try:
            return read_environment(path).replace(before, mark)
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", "") or "it is not a text in UTF-8"
            raise AgentError(
                f"The environment of the running server can't be copied from {path}: {reason}. "
                "Stop the server, and start it anew."
            ) from None


def _certificates(request: Request, directory: Path) -> list[tuple[str, Path, str]]:
    """Return the variable, the path in a job's folder and the text of each certificate's file."""
    texts = request.get("certificates", {})
    return [
        (CERTIFICATES[name], directory / name, str(text))
        for name, text in texts.items()
        if name in CERTIFICATES
    ]


@contextlib.contextmanager
def _before_submission() -> Iterator[None]:
    """Note in each error that the scheduler has not got the job."""
    try:
        yield
    except UniSpawnerError as error:
        error.unsent = True
        raise


def _fill_places(spec: JobSpec, state: StateDir, account: Account) -> JobSpec:
    """Return a job with the folder in which it starts, and with the path of its log."""
    return replace(_fill_directory(spec, account), stdout_path=str(state.log(spec.mark)))


def _fill_directory(spec: JobSpec, account: Account) -> JobSpec:
    directory = re.sub("^~(?=/|$)", lambda _: account.pw_dir, spec.directory)
    return replace(spec, directory=directory or account.pw_dir)


def estimate(request: Request, account: Account) -> dict[str, Any]:
    """Return when the job ``spec`` with the shell ``shell`` would start; submit nothing.

    The result has ``outlook``, ``start`` and ``reason`` of a StartEstimate.
    """
    scheduler = _scheduler(request)
    spec = JobSpec.from_dict(request["spec"])
    scheduler.check_supported(spec)
    found = ask_for_start(_fill_directory(spec, account), scheduler, request["shell"])
    return {"outlook": found.outlook.value, "start": found.start, "reason": found.reason}


def stage(request: Request, account: Account) -> dict[str, str]:
    """Write a job's private files; the legacy classes submit with the site's own command.

    The request has ``mark`` and ``environment`` of the job, ``submitted``, the variables of the
    submit command, and ``python`` and ``options`` for the launcher. Return ``wrapper``, the path of
    the program that the job's script runs.
    """
    state = _state(request)
    for directory in state.old_jobs(ABANDONED_AFTER):  # no scheduler can be asked about these jobs
        state.remove_job(directory.name)
    mark = str(request["mark"])
    environment = JobSpec(environment=dict(request["environment"])).environment
    environment = _with_mark(environment, mark)
    # The agent runs behind what the submit command runs behind, and that may have set PATH.
    paths = [os.environ.get("PATH", "")]
    text = render_variables(environment, mark, dict(request.get("submitted", {})), paths)
    try:
        directory = state.create_job(mark, text)
        reader = render_reader(str(directory / "environment"), environment, mark)
        write_private(directory / READER, reader)
        wrapper = write_wrapper(directory, str(request["python"]), list(request["options"]))
    except OSError as error:
        state.remove_job(mark)
        raise _write_error(error, state) from None
    return {"wrapper": str(wrapper)}


def _with_mark(environment: Mapping[str, str], mark: str) -> dict[str, str]:
    """Return a job's variables with its mark, which shows which processes are the job's."""
    return {**environment, MARK_VARIABLE: mark}


def missing(request: Request, account: Account) -> dict[str, list[str]]:
    """Return those of the paths ``programs`` at which there is no program, as ``missing``."""
    programs = [str(program) for program in request["programs"]]
    return {"missing": [program for program in programs if not os.access(program, os.X_OK)]}


def cancel(request: Request, account: Account) -> dict[str, bool]:
    """Cancel ``job_id``, with ``force`` at once. It is not an error if the job has ended."""
    scheduler = _scheduler(request)
    _executor(scheduler).cancel_id(_job_id(request, scheduler), force=bool(request.get("force")))
    return {}


def status(request: Request, account: Account) -> dict[str, dict[str, Any]]:
    """Return what the scheduler says to the user about ``job_ids``; unknown ids are left out."""
    scheduler = _scheduler(request)
    job_ids = [_check_id(str(job_id), scheduler) for job_id in request["job_ids"]]
    answer = ask_for_jobs(scheduler, job_ids)
    known = {job_id: answer[job_id] for job_id in job_ids if job_id in answer}
    return {job_id: _fill_owner(info, account).to_dict() for job_id, info in known.items()}


def _fill_owner(info: JobInfo, account: Account) -> JobInfo:
    """Return what an answer about one job says, with the user as the owner if it names none."""
    return replace(info, owner=info.owner or account.pw_name)


def ask_for_jobs(scheduler: Scheduler, job_ids: Collection[str]) -> dict[str, JobInfo]:
    """Ask for jobs by id. A job that the answer lacks does not exist.

    Raises
    ------
    SchedulerUnavailable
        If the scheduler does not answer, or if a job that the answer lacks occurs in a line that
        can't be read.
    """
    passed_over: list[str] = []
    answer = hold_dialogue(scheduler.query(job_ids), passed_over)
    if find_mentioned(passed_over, [job_id for job_id in job_ids if job_id not in answer]):
        raise SchedulerUnavailable(
            f"The answer of {scheduler.title} names jobs in lines that can't be read:",
            output=quote_lines(passed_over),
        )
    return answer


def find(request: Request, account: Account) -> dict[str, str]:
    """Return the ``job_id`` of the job with ``mark``; empty if there is no such job.

    The Hub asks for it if the answer to a submission was lost, because the agent, sudo or the Hub
    ended in the middle of it.
    """
    scheduler = _scheduler(request)
    mark = str(request["mark"])
    written = read_private(_state(request).job(mark) / "job_id")
    if scheduler.job_id.fullmatch(written):
        return {"job_id": written}
    marks = hold_dialogue(scheduler.find_marks(account.pw_name))
    return {"job_id": marks.get(mark, "")}


def find_jobs(request: Request, account: Account) -> dict[str, list[str]]:
    """Return the ``job_ids`` of the user's jobs that show ``mark`` anywhere: see Scheduler.

    The legacy classes ask for it if a site's submit command has failed, or has printed no id that
    can be used: the scheduler may have the job all the same.
    """
    mark = str(request["mark"])
    if not is_mark(mark):
        raise AgentError(f"mark: {mark!r} is not the mark of a job.")
    return {"job_ids": hold_dialogue(_scheduler(request).find_jobs(mark, account.pw_name))}


def marked(request: Request, account: Account) -> dict[str, Any]:
    """Return the user's ``jobs`` that have a mark and have not ended, each with ``mark``,
    ``job_id`` and ``status``; and how many more were ``left_out`` because there are so many.

    ``unispawner reap`` asks for it, about accounts whose servers the Hub has forgotten.
    """
    scheduler = _scheduler(request)
    found = hold_dialogue(scheduler.find_marks(account.pw_name))
    marks = dict(sorted(found.items())[:MOST_MARKED])
    known = ask_for_jobs(scheduler, list(marks.values())) if marks else {}
    alive = {mark: known[job_id] for mark, job_id in marks.items() if job_id in known}
    jobs = [
        {"mark": mark, "job_id": marks[mark], "status": _fill_owner(info, account).to_dict()}
        for mark, info in alive.items()
        if not info.state.final
    ]
    return {"jobs": jobs, "left_out": len(found) - len(marks)}


def end_marked(request: Request, account: Account) -> dict[str, Any]:
    """Cancel those of ``jobs``, ids by mark, that still have their mark: an id may be reused.

    Return the marks of the ``cancelled`` ones, and ``errors`` by mark.
    """
    scheduler = _scheduler(request)
    jobs = {str(mark): _check_id(str(one), scheduler) for mark, one in request["jobs"].items()}
    marks = hold_dialogue(scheduler.find_marks(account.pw_name))
    cancelled, errors = [], {}
    for mark, job_id in jobs.items():
        if marks.get(mark) != job_id:
            continue
        try:
            _executor(scheduler).cancel_id(job_id, force=False)
            cancelled.append(mark)
        except UniSpawnerError as error:  # the other jobs have to be ended
            errors[mark] = str(error)
    return {"cancelled": cancelled, "errors": errors}


def usable(request: Request, account: Account) -> dict[str, Any]:
    """Return what the user may use of the cluster: the data of a :class:`Usable`."""
    groups = []
    for gid in dict.fromkeys([os.getgid(), *os.getgroups()]):
        with contextlib.suppress(KeyError):
            groups.append(grp.getgrgid(gid).gr_name)
    found = hold_dialogue(_scheduler(request).usable(account.pw_name, groups))
    return dict(plain.encode(found))


def usage(request: Request, account: Account) -> dict[str, Any]:
    """Return what a job has used: the data of an :class:`Accounting`. Its ``started`` may be None.

    The request also has ``mark``, ``submitted`` and ``ended``, which tell the job from others.
    """
    scheduler = _scheduler(request)
    started = request.get("started")
    job = EndedJob(
        job_id=_job_id(request, scheduler),
        owner=account.pw_name,
        mark=str(request["mark"]),
        submitted=float(request["submitted"]),
        ended=float(request["ended"]),
        started=None if started is None else float(started),
    )
    try:
        found = hold_dialogue(scheduler.usage(job))
    except CommandNotFound:
        found = NO_ACCOUNTING
    return dict(plain.encode(found))


def log(request: Request, account: Account) -> dict[str, Any]:
    """Return the ``path`` and ``size`` of a job's log, and its last ``lines`` lines as ``tail``."""
    state = _state(request)
    mark = str(request["mark"])
    tail, size = state.tail(mark, int(request["lines"]))
    return {"path": str(state.log(mark)), "tail": tail, "size": size}


def cleanup(request: Request, account: Account) -> dict[str, str]:
    """Remove the private files of the job with ``mark``, but not its log.

    With ``probe``, also the file that the doctor's probe has left in the home.
    """
    mark = str(request["mark"])
    _state(request).remove_job(mark)
    if request.get("probe"):
        (Path(account.pw_dir) / probe_file(mark)).unlink(missing_ok=True)
    return {}


def check(request: Request, account: Account) -> dict[str, Any]:
    """Return what ``unispawner doctor`` checks on the user's side."""
    scheduler = _scheduler(request)
    return {
        "account": account.pw_name,
        "python": sys.executable,
        "umask": f"{login_umask():03o}",
        "groups": sorted(os.getgroups()),
        "executor": _executor(scheduler).check(),
        "commands": {name: shutil.which(name) or "" for name in scheduler.needed_commands()},
        "state_dir": str(_state(request).path),
    }


ACTIONS: Mapping[str, Callable[[Request, Account], Any]] = {
    action.__name__: action
    for action in (
        *(submit, estimate, stage, missing, cancel, status, find, find_jobs, marked, end_marked),
        *(usable, usage, log, cleanup, check, check_path),
    )
}


def _write_error(error: OSError, state: StateDir) -> AgentError:
    return AgentError(
        f"The job's files can't be written: {error.filename or state.path}: {error.strerror}. "
        "Check whether the disk or the user's quota is full (c.UniSpawner.state_dir)."
    )


def _state(request: Request) -> StateDir:
    # The Hub sends the last three only where they are set.
    return StateDir.open(
        request["state_dir"],
        log_dir=request.get("log_dir", ""),
        logs_kept=request.get("logs_kept", LOGS_KEPT),
        trusted_parents=request.get("trusted_parents", ()),
    )


def _scheduler(request: Request) -> Scheduler:
    """Return the scheduler, with what only this host knows filled in: see ``complete_settings``."""
    given = get_scheduler(request["scheduler"], request["scheduler_options"])
    settings = given.complete_settings(given.options)
    if settings == given.options:
        return given
    found = get_scheduler(given.name, settings)
    for name, value in found.environment().items():
        os.environ.setdefault(name, value)
    return found


def _executor(scheduler: Scheduler) -> Any:
    """Return the executor, which submits and cancels; only this imports PSI/J."""
    from .executors import get_executor

    return get_executor(scheduler)


def _job_id(request: Request, scheduler: Scheduler) -> str:
    return _check_id(str(request["job_id"]), scheduler)


def _check_id(job_id: str, scheduler: Scheduler) -> str:
    if not scheduler.job_id.fullmatch(job_id):
        raise AgentError(f"job_id: {job_id!r} is not a job id of {scheduler.title}.")
    return job_id


def _identify_cluster(request: Request, scheduler: Scheduler) -> str:
    """Return a text that is the same for two requests about one cluster, and else another one."""
    chosen = [
        scheduler.name,
        repr(scheduler.query_key),
        str(request.get("submit_host", "")),
        list(request["scheduler_path"]),
        sorted(request["scheduler_environment"].items()),
    ]
    return hashlib.sha256(json.dumps(chosen).encode()).hexdigest()


def _sweep(state: StateDir, scheduler: Scheduler, cluster: str, owner: str) -> None:
    """Remove the files of jobs that ended while no Hub was running.

    The user's home may have the files of jobs of other clusters, too. This scheduler knows nothing
    of those, and may have other jobs of the same ids.
    """
    old: dict[str, Path] = {}
    for directory in state.old_jobs(STALE_AFTER):
        if read_private(directory / "cluster") == cluster:
            old[directory.name] = directory
    for directory in state.old_jobs(ABANDONED_AFTER):
        if directory.name not in old:
            state.remove_job(directory.name)
    ids = {mark: read_private(directory / "job_id") for mark, directory in old.items()}
    known = [job_id for job_id in ids.values() if scheduler.job_id.fullmatch(job_id)]
    try:
        alive = ask_for_jobs(scheduler, known) if known else {}
        fewer = len(known) < len(old)
        marks = hold_dialogue(scheduler.find_marks(owner)) if fewer else {}
    except UniSpawnerError:
        return  # the next submission sweeps again
    for mark, job_id in ids.items():
        info = alive.get(job_id or marks.get(mark, ""))
        if (info is None or info.state.final) and mark not in marks:
            state.remove_job(mark)
