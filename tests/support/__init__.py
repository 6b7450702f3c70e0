"""What tests share. It is imported as ``support``: pyproject.toml puts tests/ on Python's path.

What pure tests use:

================  ==============================================================================
``jobs``          a job that asks for everything
``inventories``   the nodes and queues of each kind of cluster
``dialogues``     a scheduler's dialogue, with answers that the test has prepared
``agent``         the agent as a process of an ordinary account, and waiting for what it does
``executor``      one executor as a process, with commands that only print
``fake_sudo``     a sudo that runs the test's own shell commands
``accounts``      ordinary accounts of this host
``folders``       folders that other accounts can enter
``hub_app``       JupyterHub's application in the test's own process, on a fake scheduler, and a
                  server that starts there
``listening``     a process that listens on a port of this host
``guarantee``     what was asked and seen, and whether it keeps the guarantee of
                  docs/reliability.md
``wrapped``       a spawner in a spawner, without a Hub
``batch_dummy``   a site's subclass of a legacy class, without a Hub
``doctor``        ``unispawner doctor`` for a configuration
``migration``     ``unispawner migrate`` for a configuration
``fuzzing``       what is fuzzed, and how
``threats``       the marker ``threat``, of which docs/threats.md is made
================  ==============================================================================

What tests of tests/live use:

================  ==============================================================================
``clusters``      the real schedulers of ci/
``cluster_agent`` the client of a user's agent on a real scheduler, without a Hub
``hub``           a real JupyterHub as a service, with its proxy, on a real scheduler
``elsewhere``     a Hub in namespaces of its own, and this host as the login node with an sshd
``sites``         the configurations of tests/live/sites
``journey``       what a user does with a server, and what must not be left of it
``eyes``          what one user can see of another one's job
``browser``       Chromium
================  ==============================================================================

A fake scheduler and a fake agent are in ``unispawner.testing``, because other projects use them.
"""

from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
OUTPUTS = CHECKOUT / "tests" / "outputs"
"""The folder with the real output of schedulers' commands."""
