"""What holds for all tests."""

from hypothesis import HealthCheck, settings

# A busy machine makes examples slowly, and that says nothing of the code.
settings.register_profile("ours", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ours")
