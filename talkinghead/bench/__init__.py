"""Measurements that anyone can run: `talkinghead bench`."""
