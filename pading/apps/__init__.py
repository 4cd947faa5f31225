"""The page: a trained model to look at in a browser (``pading app``)."""
