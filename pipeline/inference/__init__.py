"""Trained networks, asked about pictures.

pictures    PNG and JPEG files -> brightness
digits      brightness -> 28x28 pixels as in MNIST
classifier  trained networks found, loaded, asked
server      the demo's HTTP, for this machine alone
"""
