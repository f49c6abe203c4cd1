"""What the Dockerfiles run while an image is built; none of it is in the image.

Standard library only: it runs on the base image's bare Python.
"""
