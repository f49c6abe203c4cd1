"""What an hour of audio costs, by what runs it and how it arrives; beside hosted services."""
