"""Who else is told how a training goes: TensorBoard, Weights & Biases, Trackio, and what other packages bring."""
