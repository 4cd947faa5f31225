"""The data room: class splits, data sets, mappers, synthetic scenes and class vectors."""
