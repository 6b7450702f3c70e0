"""The submit host's side: one process that becomes users: ``python -I -m unispawner.broker``.

It reads requests from standard input and writes answers to standard output, in the frames of
:mod:`unispawner.frames`. For each request it forks, and the child becomes the user.
"""
