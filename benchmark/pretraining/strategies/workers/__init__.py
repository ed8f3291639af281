"""Workers of multi-task pre-training: what each predicts, frame by frame, and with what."""
