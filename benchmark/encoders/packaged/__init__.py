"""Encoders in the packagings of others: Hugging Face, HEAR, ONNX, TorchScript."""
