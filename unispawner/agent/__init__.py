"""The user's side: one JSON request on standard input, one JSON reply, then it ends.

Runs as the user whose job it is about, as ``python -I -m unispawner.agent``. It never imports
jupyterhub, and loads PSI/J only to submit or cancel. The Hub's side trusts nothing that it says.
"""
