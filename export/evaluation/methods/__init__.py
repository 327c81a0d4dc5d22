"""Methods: who the model is told the person is, one file each."""
