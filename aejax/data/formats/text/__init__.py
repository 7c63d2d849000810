"""Tables as text: their encoding, their dialect, and what a cell means."""
