"""Commands with many options, a module each; `talkinghead.cli` puts them together."""
