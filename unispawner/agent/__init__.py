"""The user's side: it reads one JSON request from standard input, writes one reply, and ends.

It runs as the job's user, with ``python -I -m unispawner.agent``. It never imports jupyterhub, and
loads PSI/J only to submit or cancel a job. The Hub's side trusts nothing that it replies.
"""
