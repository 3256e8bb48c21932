"""Whole experiments, each one command and repeatable from nothing."""
