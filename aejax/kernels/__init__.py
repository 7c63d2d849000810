"""What is fast and knows the inside of JAX."""
