"""LoRA and personalizer trained jointly on examples in the layout of the runtime."""
