"""Fast parts that know the inside of JAX."""
