"""What the product costs, measured with its own commands against a public reference."""
