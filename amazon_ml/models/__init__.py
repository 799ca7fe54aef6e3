"""Networks: backbones and weights, losses, preprocessing, test-time augmentation, ONNX."""
