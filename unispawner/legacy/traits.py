"""The settings of the legacy classes: batchspawner's under their names, and a few of ours."""

from __future__ import annotations

import pwd
import sys
from typing import TYPE_CHECKING

from traitlets import Float, Integer, List, Unicode, default

from ..job import is_variable

if TYPE_CHECKING:
    from jupyterhub.spawner import Spawner as _Base
else:  # JupyterHub refuses a subclass of Spawner that can't start, stop and poll
    from traitlets.config import LoggingConfigurable as _Base


class BatchTraits(_Base):
    """The settings that all schedulers have."""

    start_timeout = Integer(
        300,
        help="""How long (seconds) a start may take, the time in the scheduler's queue included.
        Default: 300.""",
    ).tag(config=True)

    ip = Unicode(
        "0.0.0.0",  # noqa: S104 (the Hub is on another host)
        help="""The address of its node at which a server listens. Default: all addresses.""",
    ).tag(config=True)

    exec_prefix = Unicode(
        "sudo -E -u {username}",
        help="""What stands before each command and makes it run as the user. A template, as the
        commands are. Empty: commands run as the Hub's own account. Default: sudo -E -u
        {username}.""",
    ).tag(config=True)

    agent_prefix = Unicode(
        "",
        help="""What stands before the command that writes a user's private files, and makes it run
        as the user. A template, as exec_prefix is. Needed only if exec_prefix is empty and a
        program of your own becomes the user in batch_submit_cmd. Default: exec_prefix, and the
        sudo, su, runuser, doas, setpriv or gosu with which batch_submit_cmd begins. Example:
        "sudo -n -u {username}".""",
    ).tag(config=True)

    # Each req_xyz is {xyz} in the templates, also those that a site's subclass adds.
    req_queue = Unicode("", help="{queue} in templates: the queue that jobs are submitted to.").tag(
        config=True
    )
    req_host = Unicode("", help="{host} in templates: the host of the batch server.").tag(
        config=True
    )
    req_memory = Unicode(
        "", help="{memory} in templates: a job's memory, as the scheduler writes it ('4gb')."
    ).tag(config=True)
    req_nprocs = Unicode("", help="{nprocs} in templates: the number of a job's processors.").tag(
        config=True
    )
    req_ngpus = Unicode("", help="{ngpus} in templates: the number of a job's GPUs.").tag(
        config=True
    )
    req_runtime = Unicode(
        "", help="{runtime} in templates: a job's time limit, as the scheduler writes it."
    ).tag(config=True)
    req_partition = Unicode(
        "", help="{partition} in templates: the partition that jobs are submitted to."
    ).tag(config=True)
    req_account = Unicode(
        "", help="{account} in templates: the account that is charged for a job."
    ).tag(config=True)
    req_options = Unicode(
        "",
        help="""{options} in templates: further options of the submit command. The script has them
        in a directive.""",
    ).tag(config=True)
    req_prologue = Unicode(
        "", help="{prologue} in templates: shell commands that a job runs before the server."
    ).tag(config=True)
    req_epilogue = Unicode(
        "",
        help="""{epilogue} in templates: shell commands that a job runs after the server has
        ended.""",
    ).tag(config=True)
    req_username = Unicode(
        help="{username} in templates: the user's account. Default: the name of the Hub's user."
    )
    req_homedir = Unicode(
        help="{homedir} in templates: the account's home directory on the Hub's host."
    )
    req_keepvars = Unicode(
        help="""{keepvars} in templates: the names of the server's environment variables, separated
        by commas. Their values come from the job's private file."""
    )
    req_keepvars_extra = Unicode(
        help="Further names that are added to {keepvars}, separated by commas.",
    ).tag(config=True)

    batch_script = Unicode(
        "",
        help="""The job's script, as a template: {xyz} is replaced by the value of req_xyz, and
        {cmd} by the command that starts the server. A template with "{{" or "{%" in it is filled
        in by Jinja, any other by Python's str.format.""",
    ).tag(config=True)
    batch_submit_cmd = Unicode(
        "",
        help="""The command that submits a job: it reads the script and prints the job's id. A
        template.""",
    ).tag(config=True)
    batch_query_cmd = Unicode(
        "", help="The command that prints a job's state. A template; {job_id} is the job's id."
    ).tag(config=True)
    batch_cancel_cmd = Unicode(
        "", help="The command that cancels a job. A template; {job_id} is the job's id."
    ).tag(config=True)
    batchspawner_singleuser_cmd = Unicode(
        "batchspawner-singleuser",
        help="""What {cmd} begins with. The default name runs unispawner's launcher, which each job
        brings along, so nodes need nothing installed for it. A path runs batchspawner's own
        program, on nodes that have it, and the launcher on others.""",
    ).tag(config=True)
    startup_poll_interval = Float(
        0.5, help="How long (seconds) to wait between queries while a server starts. Default: 0.5."
    ).tag(config=True)

    # batchspawner does not have the settings below.
    state_notfound_re = Unicode(
        r"(?i)unknown job|invalid job id|job has finished|jobs? (?:\S+ )?do(?:es)? not exist"
        r"|job <?\S+>? is not found|no matching job|cannot locate job",
        help="""A regular expression that matches what a failed query prints about a job that no
        longer exists. After any other failure the job keeps its last state.""",
    ).tag(config=True)
    user_option_keys = List(
        Unicode(),
        help="""Names, such as nprocs for {nprocs}, that user options of the REST API may set in
        addition to the fields of the options form, and that a form without an options_from_form of
        your own may send: those of fields that a script adds to the page. Each value is a quoted
        word in the script. Users can never set cmd, username and homedir. Example:
        ["nprocs"].""",
    ).tag(config=True)
    trusted_option_keys = List(
        Unicode(),
        help="""Names, such as prologue for {prologue}, whose values go into the script as their
        user has written them: not quoted, also several words and lines. The REST API may set them,
        as those of user_option_keys; a link can't. Their text can't reach a command that the Hub
        runs. Default: none.""",
    ).tag(config=True)
    public_environment = List(
        Unicode(),
        help="""Names of environment variables whose values the commands get: the submit command
        gets the server's values, the other commands the Hub's own. Needed for scripts that no shell
        of sh's language reads (csh, Python, HTCondor's submit description); scripts of sh have all
        of the server's variables. Schedulers show these values to all users, so name no secrets
        here. The commands always get what they usually need (PATH, SLURM_CONF, SGE_ROOT …).
        Example: ["SITE_DIR"].""",
    ).tag(config=True)
    command_timeout = Float(
        60.0, min=1.0, help="How long (seconds) a command may take. Default: 60."
    ).tag(config=True)
    min_uid = Integer(
        1000,
        min=1,
        help="""The lowest uid that may run servers; system accounts have lower ones. Uid 0 (root)
        is always refused. Default: 1000.""",
    ).tag(config=True)
    state_dir = Unicode(
        "~/.unispawner/legacy",
        help="""The folder for each user's private files: the environment of running servers (mode
        0600). It must be visible on the Hub's host and on the nodes under the same path. "~" stands
        for the user's home, "{username}" for the name of the account.""",
    ).tag(config=True)
    trusted_parents = List(
        Unicode(),
        help="""Folders above state_dir that are allowed although they belong to another account
        than root or the user, or can be changed by a group, as in ["/projects/physics"]. Danger:
        whoever can change such a folder can run commands as each user below it. Empty (the
        default): none.""",
    ).tag(config=True)
    launcher_python = Unicode(
        "python3",
        help="""The Python (3.6 or later) that runs the launcher on the nodes; it needs no
        packages. A name without a slash is searched on the job's PATH.""",
    ).tag(config=True)
    agent_python = Unicode(
        help="""The Python that writes the private files, run behind exec_prefix. unispawner must be
        installed in it and users must be able to read it. Default: the Python that runs the
        Hub."""
    ).tag(config=True)

    scheduler_name = ""
    """The scheduler of the class's own commands; empty if a subclass has the commands."""

    job_id = Unicode(help="The job's id; empty if there is no job.")
    job_status = Unicode(help="What the last query printed.")

    @default("req_username")
    def _req_username_default(self) -> str:
        return str(self.user.name)

    @default("req_homedir")
    def _req_homedir_default(self) -> str:
        return pwd.getpwnam(self.user.name).pw_dir

    @default("req_keepvars")
    def _req_keepvars_default(self) -> str:
        return ",".join(filter(is_variable, self.get_env()))

    @default("agent_python")
    def _agent_python_default(self) -> str:
        return sys.executable
