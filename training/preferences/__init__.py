"""Preference pairs by factuality: from samples, from given answers, and from verified or revised drafts."""
