"""autoposter publishes scheduled social-media posts when they are due."""
