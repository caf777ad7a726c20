"""Training of a PET model: split the data, train with metatrain, export, write the model card."""
