"""What ci/bench is made of.

==================  ==============================================================================
``figures.py``      pure: what is computed from the measurements
``page.py``         pure: the tables, and how they get into docs/performance.md
``plots.py``        the pictures of that page
``candidates.py``   what is compared, and how each Hub is configured
``floor.py``        the smallest spawner, with which the others are compared
``stub_server.py``  what the jobs run in place of JupyterLab
``load.py``         starts and stops servers as users do, and takes the time
``meters.py``       processor time, processes, questions to the scheduler, stalls of the event loop
``probe.py``        a program that asks a Hub's API twenty times a second
``run.py``          the order of it all, and putting everything back at the end
==================  ==============================================================================
"""
