"""Implementations of nll_loss, right and wrong, and what users would test them with instead."""
