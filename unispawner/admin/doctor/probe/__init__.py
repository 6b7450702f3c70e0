"""``unispawner doctor --probe``: a real job that reports back what it finds on its node.

- :mod:`.on_node` runs in the job, in the launcher's place, and has no packages there.
- :mod:`.listener` is the Hub for that job, and :mod:`.addresses` says where it listens.
- :mod:`.answers` reads what the job says: it is the user's side, so nothing of it is trusted.
- :mod:`.verdicts` makes results of it, each failure with its cause and cure.
- :mod:`.run` submits the job, follows it and always removes it.
"""
