"""Notifications: one message over e-mail, SMS, push and callback, each channel by the provider its environment names."""
