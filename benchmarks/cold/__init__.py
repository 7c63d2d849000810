"""The eight process examples as a process of its own, in each framework; each prints its peak memory in megabytes."""
