"""Commands of the command line, one file each: options in, one call, words out."""
