"""From bytes to events: framer, parsers, sampler, and the collector that drives them."""
