"""Export of trained probes: safetensors, ONNX, and a card."""
