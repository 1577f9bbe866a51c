"""A module that ends the program that imports it, as a script without a guard does."""

import argparse

parser = argparse.ArgumentParser()
parser.add_argument("--country", required=True)
parser.parse_args([])
