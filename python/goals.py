#!/usr/bin/env python3
from sphereslim.commands.program import script

if __name__ == '__main__':
    script(__file__)
