"""Bodies of audio, one module each. A collection prepares its audio and says where its manifest is."""
