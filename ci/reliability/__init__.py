"""What ci/faults is made of.

=================  ===============================================================================
``figures.py``     pure: the rows of the table, and how they are kept and merged
``commands.py``    a scheduler's commands for one Hub, which can be made to hang, to lie or to fail
``candidates.py``  which spawner class is tried, and how its Hub is configured
``cell.py``        one Hub with one spawner class on one scheduler, in which one user works
``moments.py``     when a fault strikes: while a server runs, starts, stops …
``faults.py``      the faults: each has a name, what breaks, and how that is mended
``run.py``         tries faults in cells, and puts everything back
=================  ===============================================================================
"""
