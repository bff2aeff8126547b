#!/usr/bin/env python3
from sphereslim.command import run_command
from sphereslim.commands.allocate import main

if __name__ == '__main__':
    run_command(main)
