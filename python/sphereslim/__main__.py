"""`python -m sphereslim` is the `sphereslim` program."""

from sphereslim.commands.program import main

if __name__ == '__main__':
    main()
