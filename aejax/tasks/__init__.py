"""Tasks: what a person does with a fitted model."""
