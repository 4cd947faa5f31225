"""What a class is called, and what its name means as numbers."""
