"""PyTorch as a user would tune it: images with their channels last, optimizers that update all weights at once."""

from benchmarks import pytorch

if __name__ == "__main__":
    pytorch.main(tuned=True)
