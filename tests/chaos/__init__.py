"""Verified traffic at a runtime whose workers are killed, stopped, flooded and redeployed."""
