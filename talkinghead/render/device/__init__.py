"""The decoder once more, in torch: many portraits in one batch, drawn without leaving the GPU."""
