"""Weights from and for other tools."""

from aejax.exchange.torch import from_state_dict, load_state_dict, save_state_dict, to_state_dict

__all__ = ["from_state_dict", "load_state_dict", "save_state_dict", "to_state_dict"]
