"""What the runtime tells people and machines about itself."""
