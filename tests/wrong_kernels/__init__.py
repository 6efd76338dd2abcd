"""Losses with one planted fault in what they compute, per framework; those of their derivatives are bad_gradients."""

FAULTS = ("mean_over_all", "mean_by_count", "ignored_times_zero")
