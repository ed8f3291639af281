"""Encoders in published formats: Hugging Face, HEAR, ONNX, TorchScript."""
