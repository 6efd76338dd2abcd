"""Implementations that are wrong on purpose, and correct ones that differ in everything legal; see zoo.py.

Each is a function of its loss's folder: `lossparity check
lossparity.conformance.mutants.nll_loss:minus_100_always_ignored --framework numpy` shows how the suite reports it.
"""
