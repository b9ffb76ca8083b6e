"""Pictures in, predictions of trained networks out.

training_data  the data of a trained model, as it was trained: its classes, and what a picture has to show
reading     a picture -> an image as those that the data set's models were trained on
segmentation  brightness -> the ink of one digit, or all ink
handwriting  that ink -> 28x28 pixels as in MNIST or KMNIST
classifier  trained networks: find, check, load, predict
server      the demo's HTTP, for this machine only
"""
