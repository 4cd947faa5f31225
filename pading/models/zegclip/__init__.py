"""ZegCLIP: CLIP turned to pixels by prompts and a light decoder of class texts."""
