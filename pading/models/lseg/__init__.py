"""LSeg (Li et al., ICLR 2022): an embedding per pixel, compared with the texts of any labels."""
