"""Reports: what an evaluation found, as one HTML file that opens anywhere."""
