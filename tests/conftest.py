"""What all tests share: how hypothesis runs."""

from hypothesis import HealthCheck, settings

# Machines that run tests are noisy: how long an input takes to be thought of says nothing.
settings.register_profile(
    "unispawner", deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None
)
settings.load_profile("unispawner")
