"""``python -m whisperdrop_client.command`` is the `whisperdrop` command."""

from whisperdrop_client.command import main

if __name__ == "__main__":
    main()
