"""``unispawner doctor``: checks a configuration on the host that it is for."""
