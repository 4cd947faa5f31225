"""Annotations in the formats that people have, read into COCO's terms."""
