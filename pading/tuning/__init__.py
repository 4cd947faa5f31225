"""Settings of stage 2 chosen by data: seen classes are left out of it and pretended unseen."""
