"""WrapSpawner and ProfilesSpawner, and the pure model of a profile under them."""
