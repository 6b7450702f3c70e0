"""The conformance suite: tests of what the Hub needs from a scheduler, on a site's own cluster.

It is a plugin of pytest, and runs as the account that submits jobs::

    pytest --pyargs unispawner.testing.conformance --scheduler slurm --queue debug

It has two parts. ``test_dialect`` needs no cluster: it checks the tables of a scheduler, what is
written into scripts, and how answers are read. ``test_cluster`` submits small jobs, and removes
each of them. See docs/adding-a-scheduler.md.
"""
