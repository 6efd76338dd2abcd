"""PyTorch: the losses under test are its own functions and modules, so there are no ports."""
