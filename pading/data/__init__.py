"""The data room: class splits, the table of data sets, mappers, synthetic scenes and class vectors."""
