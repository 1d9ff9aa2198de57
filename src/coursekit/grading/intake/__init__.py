"""What was handed in: read with suspicion, stored by content, rebuilt from the release."""
