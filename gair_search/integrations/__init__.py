"""Retrievers for other frameworks, one module each: LangChain, LlamaIndex, Haystack. Importing this imports none."""
