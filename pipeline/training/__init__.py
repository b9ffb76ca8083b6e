"""Training a network, from params to a file.

settings    a model as params.yaml describes it
architecture  what its layers and networks of every kind say of themselves
layers      the kinds of layers
optimizer_settings  its optimizer and schedule
augmentation  moved and mirrored images
networks    MLP and CNN from params, and their loss
optimizers  update rules, the original's exactly
portable    the same bits on every x86-64 processor
forward     the forward pass of training
normalization  batch normalization of a batch in parts
loop        batches, gradients and scores, in parts
trainer     a run: its epochs, and the state after each
recipe      the hash of all that determines a result
history     its columns
checkpoint  going on after a kill
model_file  byte-stable `.keras` files
backend     the only importer of Keras and TensorFlow
"""
