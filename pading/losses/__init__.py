"""Matching and losses: functions of tensors."""
