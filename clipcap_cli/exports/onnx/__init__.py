"""A captioner for whoever has no torch: graphs in the onnx format, and a small program that captions pictures with them."""
