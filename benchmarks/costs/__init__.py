"""The parts of `gair bench speed`: what each thing costs against a named baseline."""
