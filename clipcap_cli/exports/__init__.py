"""A captioner for others: a bundle, a checkpoint of the original code, onnx, or a place on the hub."""
