"""The settings of the legacy classes: batchspawner's, under its names, and a few of ours."""

from __future__ import annotations

import pwd
import sys
from typing import TYPE_CHECKING

from traitlets import Float, Integer, List, Unicode, default

if TYPE_CHECKING:
    from jupyterhub.spawner import Spawner as _Base
else:  # JupyterHub refuses a subclass of Spawner that can't start, stop and poll
    from traitlets.config import LoggingConfigurable as _Base


class BatchTraits(_Base):
    """What an administrator can set, whatever the scheduler."""

    start_timeout = Integer(
        300,
        help="""Seconds until a start that has not succeeded is given up, waiting in the queue
        included. Default: 300.""",
    ).tag(config=True)

    ip = Unicode(
        "0.0.0.0",  # noqa: S104 (the Hub is on another host)
        help="""The address that servers listen at on their nodes. Default: every one.""",
    ).tag(config=True)

    exec_prefix = Unicode(
        "sudo -E -u {username}",
        help="""What comes before each command and becomes the user. A template like the commands.
        Empty: they run as the Hub. Default: sudo -E -u {username}.""",
    ).tag(config=True)

    # Each req_xyz is {xyz} in the templates: also those that a site's subclass adds.
    req_queue = Unicode("", help="The queue to submit to: {queue}.").tag(config=True)
    req_host = Unicode("", help="The host of the batch server: {host}.").tag(config=True)
    req_memory = Unicode("", help="Memory, in the scheduler's own writing ('4gb'): {memory}.").tag(
        config=True
    )
    req_nprocs = Unicode("", help="The number of processors: {nprocs}.").tag(config=True)
    req_ngpus = Unicode("", help="The number of GPUs: {ngpus}.").tag(config=True)
    req_runtime = Unicode(
        "", help="How long the job may run, in the scheduler's own writing: {runtime}."
    ).tag(config=True)
    req_partition = Unicode("", help="The partition to submit to: {partition}.").tag(config=True)
    req_account = Unicode("", help="The account that pays: {account}.").tag(config=True)
    req_options = Unicode(
        "", help="Further options of the submit command, in a directive: {options}."
    ).tag(config=True)
    req_prologue = Unicode(
        "", help="Shell text that the job runs before the server: {prologue}."
    ).tag(config=True)
    req_epilogue = Unicode(
        "", help="Shell text that the job runs after the server has ended: {epilogue}."
    ).tag(config=True)
    req_username = Unicode(help="The user's account: {username}. Default: the Hub user's name.")
    req_homedir = Unicode(help="The account's home on the Hub's host: {homedir}.")
    req_keepvars = Unicode(
        help="""The names of the variables that the server is given, with commas: {keepvars}. Their
        values come from the job's private file."""
    )
    req_keepvars_extra = Unicode(
        help="Further names, added to {keepvars}; with commas.",
    ).tag(config=True)

    batch_script = Unicode(
        "",
        help="""The job's script, a template: {xyz} is the trait req_xyz, {cmd} what starts the
        server; with "{{" or "{%" in it, it is Jinja's.""",
    ).tag(config=True)
    batch_submit_cmd = Unicode(
        "", help="The command that reads the script and prints the job's id. A template."
    ).tag(config=True)
    batch_query_cmd = Unicode(
        "", help="The command that tells a job's state. A template, with {job_id}."
    ).tag(config=True)
    batch_cancel_cmd = Unicode(
        "", help="The command that cancels a job. A template, with {job_id}."
    ).tag(config=True)
    batchspawner_singleuser_cmd = Unicode(
        "batchspawner-singleuser",
        help="""What {cmd} begins with. Under this name every job finds unispawner's launcher: nodes
        need nothing installed for it. A path names batchspawner's own, on nodes that have it.""",
    ).tag(config=True)
    startup_poll_interval = Float(
        0.5, help="Seconds between queries while a server starts. Default: 0.5."
    ).tag(config=True)

    # What batchspawner has not.
    state_notfound_re = Unicode(
        r"(?i)unknown job|invalid job id|job has finished|jobs? (?:\S+ )?do(?:es)? not exist"
        r"|job <?\S+>? is not found|no matching job|cannot locate job",
        help="""A regular expression for what a failed query prints of a job that is no more. After
        any other failure, the job is taken to be as it was.""",
    ).tag(config=True)
    user_option_keys = List(
        Unicode(),
        help="""Names, as in {nprocs}, that user options may set beside the fields of the options
        form: fields that a script in the page adds, or what your own options_from_form makes of
        them. cmd, username and homedir are never set by a user.""",
    ).tag(config=True)
    public_environment = List(
        Unicode(),
        help="""Names of variables that the commands find with their values: the submit command of
        those that the server gets, the others of the Hub's own. Schedulers show them to everybody:
        no secrets. What commands usually need (PATH, SLURM_CONF, SGE_ROOT …) is there already.""",
    ).tag(config=True)
    command_timeout = Float(
        60.0, min=1.0, help="Seconds that one command may take. Default: 60."
    ).tag(config=True)
    min_uid = Integer(
        1000,
        min=1,
        help="""The lowest uid that may run servers; system accounts have lower ones. Uid 0 is never
        allowed. Default: 1000.""",
    ).tag(config=True)
    state_dir = Unicode(
        "~/.unispawner/legacy",
        help="""Where each user's private files go, the environment of running servers (mode 0600).
        Must be visible on the Hub's host and on the nodes under the same path. "~" is the user's
        home, "{username}" the account's name.""",
    ).tag(config=True)
    launcher_python = Unicode(
        "python3",
        help="""The Python (3.6 or later) on the nodes that runs the launcher; it needs no packages.
        Looked for on the job's PATH, unless it is a path.""",
    ).tag(config=True)
    agent_python = Unicode(
        help="""The Python that writes the private files, run behind exec_prefix. It must have
        unispawner installed and be readable by users. Default: the Hub's own."""
    ).tag(config=True)

    job_id = Unicode(help="The job's id; empty if there is none.")
    job_status = Unicode(help="What the last query printed.")

    @default("req_username")
    def _req_username_default(self) -> str:
        return str(self.user.name)

    @default("req_homedir")
    def _req_homedir_default(self) -> str:
        return pwd.getpwnam(self.user.name).pw_dir

    @default("req_keepvars")
    def _req_keepvars_default(self) -> str:
        return ",".join(self.get_env())

    @default("agent_python")
    def _agent_python_default(self) -> str:
        return sys.executable
