"""What is asked: samples, targets, references, masks, the model as a function."""
