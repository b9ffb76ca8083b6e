"""The original: the student report of 2017, at https://github.com/psato/Keras-MNIST, whose claims are examined here."""

# Its numbers are for this data set, and for the test images that come with it.
DATASET = "mnist"
TEST_IMAGES = 10_000
