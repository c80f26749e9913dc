"""The demo: the main job on real usage, driven from outside like a platform and its customers would."""
