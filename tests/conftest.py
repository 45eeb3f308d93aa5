"""For all tests: hypothesis takes the same examples on every run, so that a change breaks a test and chance does not.

HYPOTHESIS_PROFILE=thorough looks at many more, and at others each time.
"""

from __future__ import annotations

import os

from hypothesis import settings

settings.register_profile("steady", max_examples=50, deadline=None, derandomize=True)
settings.register_profile("thorough", max_examples=2000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "steady"))
