"""PyTorch: the loss under test is `torch.nn.functional.nll_loss` itself, so there is no port."""
