"""Parts of networks that several systems share."""
