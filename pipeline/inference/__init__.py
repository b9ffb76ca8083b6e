"""Pictures in, predictions of trained networks out.

pictures    PNG and JPEG files -> brightness
segmentation  brightness -> the ink of its one digit
digits      that ink -> 28x28 pixels as in MNIST
classifier  trained networks: find, check, load, predict
server      the demo's HTTP, for this machine only
"""
