"""Whether our models give the numbers that the published code gave: recordings compared."""
