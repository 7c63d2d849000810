"""Commands of the tasks, one file each: a dataclass of options, and ``run``, which does what they say."""
