"""One vendor protocol each."""
