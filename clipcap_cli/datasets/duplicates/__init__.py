"""Pictures that are nearly the same: copies that were resized, re-encoded, cropped a little or brightened, found without comparing each with each."""
