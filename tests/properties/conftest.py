from hypothesis import settings

# The same examples in every run, and none kept in a folder: a failure is one for everybody.
settings.register_profile("everywhere", derandomize=True, deadline=None, database=None, max_examples=100)
settings.load_profile("everywhere")
