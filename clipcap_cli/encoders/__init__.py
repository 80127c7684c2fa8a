"""Picture to vector: one Protocol (`base`), one registry, one module a family (`openai`, `hf`, `efficientnet`)."""
