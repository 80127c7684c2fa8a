"""The recipe: one YAML file that says everything a run depends on."""

from clipcap_cli.recipe.reading import dump_recipe, find_recipe, load_recipe, shipped_recipes
from clipcap_cli.recipe.schema import Decode, Recipe

__all__ = ["Decode", "Recipe", "dump_recipe", "find_recipe", "load_recipe", "shipped_recipes"]
