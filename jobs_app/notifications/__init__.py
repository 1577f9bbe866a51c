"""Notifications: recorded as rows with their event, written as messages, sent by a process."""
