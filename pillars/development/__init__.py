"""Pillar 2, model development.

features      features: columns and labelled rows as a model sees them
models        models: recipes that need no search
experiments   experiments, run_content, writers, settings: MLflow runs, what they say, who writes them; settings tried beside the YAML's
"""
