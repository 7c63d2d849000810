"""What is kept of a result, in folders that are written whole or not at all."""
