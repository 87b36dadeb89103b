"""What templates are made of: sources, parameters, datastores, files from elsewhere."""
