"""Pictures in, predictions of trained networks out.

pictures    PNG and JPEG files -> brightness
digits      brightness -> 28x28 pixels as in MNIST
classifier  trained networks: find, check, load, predict
server      the demo's HTTP, for this machine only
"""
