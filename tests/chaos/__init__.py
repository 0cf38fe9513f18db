"""Checked traffic to a runtime whose workers are killed, stopped, flooded and redeployed."""
