"""Conformance of our losses: `pytest -k ignore` runs one family, `pytest -k float32` one dtype."""

from lossparity.conformance.testing import conformance_tests
from my_project.losses import nll_loss

test_nll_loss = conformance_tests(nll_loss, framework="torch")
