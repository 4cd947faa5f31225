"""Settings of stage 2 in rows, with several seeds each."""
