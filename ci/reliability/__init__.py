"""What ci/faults is made of.

=================  ===============================================================================
``figures.py``     pure: the rows of the table, and how they are kept and merged
``plan.py``        pure: which rows are tried, in which order, and how long that takes
``commands.py``    a scheduler's commands for one Hub, which can be made to hang, to lie or to fail
``candidates.py``  which spawner class is tried, and how its Hub is configured
``cell.py``        one Hub with one spawner class on one scheduler, in which one user works
``moments.py``     when a fault strikes: while a server runs, starts, stops …
``homes.py``       what breaks homes; beside it ``databases.py``, ``networks.py``, ``memory.py``
``hanging.py``     a file system that never answers
``scheduler.py``   what breaks a scheduler itself, and its nodes
``faults.py``      the faults: each has a name, what breaks, and how that is mended
``run.py``         tries a fault in a cell, and puts everything back
``lanes.py``       lanes, in which rows are tried side by side
``worker.py``      what runs in a lane: it brings a scheduler up, and tries rows
=================  ===============================================================================
"""
