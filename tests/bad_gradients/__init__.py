"""Losses whose forward is right and whose backward has one planted fault, per framework; `none` has none."""

FAULTS = (
    "upstream_ignored",
    "weight_missing",
    "ignored_row_not_zero",
    "normaliser_missing",
    "arrangement",  # torch: of an input that is not contiguous; JAX and TensorFlow: of one with two spatial axes
    "nan_in_ignored_row",
)
