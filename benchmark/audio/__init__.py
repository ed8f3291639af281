"""From a sound file to windows of samples, or to a reason why not."""
