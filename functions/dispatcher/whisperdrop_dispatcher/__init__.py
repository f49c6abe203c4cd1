"""The dispatcher: the scheduled sweep. The start of GPU tasks by queue depth belongs here too."""
