"""``unispawner reap``: finds jobs of this Hub that no server owns, and ends them.

``command.py`` has the order of things: the accounts are asked for their jobs first, and the Hub for
its starts after that. The Hub knows a start before its job exists, so a job that the Hub does not
know then does not belong to a start in progress.
"""
