"""The recipe that makes the bundled Toybox model: `python -m recipe.train --out DIR`."""
