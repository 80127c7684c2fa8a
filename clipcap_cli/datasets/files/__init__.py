"""What lies in files and folders of a source, before anybody knows what it means."""
