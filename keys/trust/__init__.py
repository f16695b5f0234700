"""What makes a byte believed."""
