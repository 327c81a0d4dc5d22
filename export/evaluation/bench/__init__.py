"""What every method is measured on and with: cases, bits, texts, a judge, values that are kept, statistics."""
