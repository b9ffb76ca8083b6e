"""Pictures in, predictions of trained networks out.

described   the data of a trained model, as it was trained: its classes, and what a picture has to show
reading     a picture -> an image as those that the data set's models were trained on
pictures    handwriting in files -> brightness
segmentation  brightness -> the ink of one digit, or all ink
digits      that ink -> 28x28 pixels as in MNIST
characters  all ink -> 28x28 pixels as in KMNIST
classifier  trained networks: find, check, load, predict
server      the demo's HTTP, for this machine only
"""
