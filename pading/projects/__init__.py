"""Projects: a folder of readable files from photographs and annotations to a trained model."""
