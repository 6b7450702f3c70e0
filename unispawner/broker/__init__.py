"""The submit host's side: one process that becomes users: ``python -I -m unispawner.broker``.

It reads requests from standard input and writes answers to standard output, in the frames of
:mod:`unispawner.frames`. For each request it forks, and the child becomes the user, or the account
that started the broker. ``docs/broker.md`` explains it to whoever checks its security.

==============  =================================================================================
``__main__``    the arguments, and the checks before the first request
``safety``      refuses a Python, or code, that others than root can change
``preload``     loads what the children need, once
``loop``        Broker: the parent, which reads no body, no user's file and no directory service
``incoming``    reads frames; a body goes unread into memory that only its own child gets
``outgoing``    writes answers, and never waits for the reader
``turns``       who is next: fair between accounts, with bounds
``processes``   forks a child, and ends it with its whole session when its time is up
``work``        what the child does
``accounts``    which accounts a child may become, and becoming one
``memory``      the buffer that no fork copies, and files in memory
==============  =================================================================================
"""
